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

// AVX-512: float32 panels, the float32 look-up for few rows (VBMI), int8 dot products (VNNI).

#include "internal.h"

#include <immintrin.h>

#include "store.inl"
#include "rows.inl"
#include "pointwise.inl"

namespace hb {
namespace {

constexpr int kVector = 16, kMR = 14;

inline __m512 wide(const int8_t* levels) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels))));
}

void unpack(const uint64_t* bits, const int8_t* levels, int64_t columns, float* panel) {
  for (int64_t g = 0; g < columns / kGroup; ++g, levels += 32) {
    const __m512 lo = wide(levels), hi = wide(levels + 16);
    for (int64_t q = 32 * g; q < 32 * g + 32; ++q)
      for (int i = 0; i < 4; ++i) {
        const __mmask16 signs =
            static_cast<__mmask16>(_pext_u64(bits[q], 0x1111111111111111ull << i));
        _mm512_store_ps(panel + (4 * q + i) * 16, _mm512_mask_blend_ps(signs, lo, hi));
      }
  }
}

}  // namespace
}  // namespace hb

#include "panel.inl"

namespace hb {

const Pointwise& pointwise_avx512() { return kPointwise; }
void prepare_rows_avx512(void* prepare, int task) { prepare_rows(prepare, task); }
void multiply_avx512(void* multiply, int task) { multiply_panels(multiply, task); }

double peak_avx512(int64_t repeats) {
  __m512 sums[12] = {}, a = {}, b = {};
  for (int64_t i = 0; i < repeats; ++i)
#pragma GCC unroll 12
    for (int k = 0; k < 12; ++k) {
      sums[k] = _mm512_fmadd_ps(a, b, sums[k]);
      __asm__ volatile("" : "+v"(sums[k]));  // the result counts as used
    }
  return static_cast<double>(repeats) * 12 * 32;
}

}  // namespace hb
