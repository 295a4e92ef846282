// Copyright 2026 The hbvla_ros Authors
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

// AVX2 with FMA: float32 panels, and int8 activations through 16-bit products.
//
// vpmaddubsw would saturate at levels of +-127, so both sides are widened to 16 bits.

#include "internal.h"

#include <immintrin.h>

#include "store.inl"
#include "rows.inl"
#include "pointwise.inl"
#include "int8.inl"

namespace hb {
namespace {

constexpr int kVector = 8, kMR = 6;

// Lane j of 8 gets the four sign bits of row 8 * half + j in its low bits.
inline __m256i nibbles(uint64_t word, int half) {
  const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
  return _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(word >> (32 * half))), shifts);
}

inline __m256 wide(const int8_t* levels) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(levels))));
}

void unpack(const uint64_t* bits, const int8_t* levels, int64_t columns, float* panel) {
  for (int64_t g = 0; g < columns / kGroup; ++g, levels += 32) {
    for (int half = 0; half < 2; ++half) {
      const __m256 lo = wide(levels + 8 * half), hi = wide(levels + 16 + 8 * half);
      for (int64_t q = 32 * g; q < 32 * g + 32; ++q) {
        const __m256i signs = nibbles(bits[q], half);
        float* out = panel + q * 64 + 8 * half;
        const __m256i top[4] = {_mm256_slli_epi32(signs, 31), _mm256_slli_epi32(signs, 30),
                                _mm256_slli_epi32(signs, 29), _mm256_slli_epi32(signs, 28)};
        for (int i = 0; i < 4; ++i)
          _mm256_storeu_ps(out + 16 * i, _mm256_blendv_ps(lo, hi, _mm256_castsi256_ps(top[i])));
      }
    }
  }
}

}  // namespace
}  // namespace hb

#include "panel.inl"

namespace hb {
namespace {

// 16-bit weights of 16 rows, [column / 2][16][2]: two columns of one row lie side by side.
void unpack_pairs(const uint64_t* bits, const int8_t* levels, int64_t columns, void* out) {
  int16_t* panel = static_cast<int16_t*>(out);
  for (int64_t q = 0; q < columns / 4; ++q) {
    const int8_t* level = levels + q / 32 * 32;
    for (int half = 0; half < 2; ++half) {
      const __m128i* at = reinterpret_cast<const __m128i*>(level + 8 * half);
      const __m256i lo = _mm256_cvtepi8_epi32(_mm_loadl_epi64(at));
      const __m256i hi = _mm256_cvtepi8_epi32(_mm_loadl_epi64(at + 1));
      const __m256i signs = nibbles(bits[q], half);
      __m256i each[4];
      for (int i = 0; i < 4; ++i) {
        const __m256i top = _mm256_slli_epi32(signs, 31 - i);
        each[i] = _mm256_castps_si256(_mm256_blendv_ps(
            _mm256_castsi256_ps(lo), _mm256_castsi256_ps(hi), _mm256_castsi256_ps(top)));
      }
      for (int i = 0; i < 2; ++i) {
        const __m256i second = _mm256_slli_epi32(each[2 * i + 1], 16);
        const __m256i pair = _mm256_blend_epi16(each[2 * i], second, 0xaa);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(panel + q * 64 + 32 * i + 16 * half), pair);
      }
    }
  }
}

// Sums of ROWS rows of activations with a panel of pairs.
template <int ROWS>
inline void dots(const int16_t* a, int64_t stride, const int16_t* panel, int64_t columns,
                 int32_t* products) {
  __m256i c[ROWS][2];
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i) c[i][0] = c[i][1] = _mm256_setzero_si256();
  for (int64_t k = 0; k < columns; k += 2) {
    const __m256i b0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + k * 16));
    const __m256i b1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + k * 16 + 16));
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; ++i) {
      int32_t two;
      memcpy(&two, a + i * stride + k, 4);
      const __m256i both = _mm256_set1_epi32(two);
      c[i][0] = _mm256_add_epi32(c[i][0], _mm256_madd_epi16(both, b0));
      c[i][1] = _mm256_add_epi32(c[i][1], _mm256_madd_epi16(both, b1));
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(products + 16 * i), c[i][0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(products + 16 * i + 8), c[i][1]);
  }
}

constexpr int kAtOnce = 6;

void all_dots(const int16_t* a, int64_t stride, int64_t count, const void* weights,
              int64_t columns, int32_t* products) {
  const int16_t* panel = static_cast<const int16_t*>(weights);
  if (count == kAtOnce) return dots<kAtOnce>(a, stride, panel, columns, products);
  for (int64_t i = 0; i < count; ++i)
    dots<1>(a + i * stride, stride, panel, columns, products + i * kRows);
}

}  // namespace

const Pointwise& pointwise_avx2() { return kPointwise; }
void prepare_rows_avx2(void* prepare, int task) { prepare_rows(prepare, task); }
void multiply_avx2(void* multiply, int task) { multiply_panels(multiply, task); }
void multiply_avx2_int8(void* multiply, int task) {
  const int64_t stride = static_cast<Multiply*>(multiply)->widths.all() + kPad16;
  multiply_chunks<int16_t, kAtOnce>(multiply, task, stride, unpack_pairs, all_dots);
}

double peak_avx2(int64_t repeats) {
  __m256 sums[12] = {}, a = {}, b = {};
  for (int64_t i = 0; i < repeats; ++i)
#pragma GCC unroll 12
    for (int k = 0; k < 12; ++k) {
      sums[k] = _mm256_fmadd_ps(a, b, sums[k]);
      __asm__ volatile("" : "+x"(sums[k]));  // the result counts as used
    }
  return static_cast<double>(repeats) * 12 * 16;
}

}  // namespace hb
