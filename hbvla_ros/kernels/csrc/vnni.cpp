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

// int8 activations with AVX512-VNNI. Its left side is unsigned, so activations carry +128 and
// 128 times the sum of the weights is subtracted again.

#include "internal.h"

#include <immintrin.h>

#include "store.inl"

namespace hb {
namespace {

constexpr int kTall = 12, kFew = 4;

struct Side {  // one block of 16 rows of weights within a chunk
  const uint64_t* bits;
  const int8_t* levels;
};

inline __m512i spread(const int8_t* levels) {
  const __m512i wide =
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)));
  return _mm512_mullo_epi32(wide, _mm512_set1_epi32(0x01010101));
}

inline __m512i four(const uint8_t* a) {
  int32_t bytes;
  memcpy(&bytes, a, 4);
  return _mm512_set1_epi32(bytes);
}

void unpack(const Side& side, int64_t columns, int8_t* out) {
  for (int64_t g = 0; g < columns / kGroup; ++g) {
    const __m512i lo = spread(side.levels + g * 32), hi = spread(side.levels + g * 32 + 16);
    for (int64_t q = 32 * g; q < 32 * g + 32; ++q)
      _mm512_store_si512(out + q * 64, _mm512_mask_blend_epi8(side.bits[q], lo, hi));
  }
}

// Many rows: an unpacked panel of two blocks against ROWS rows of activations. Every loop over the
// sums is unrolled by name: one that is not keeps all of them in memory.
template <int ROWS>
inline void tall(const uint8_t* a, int64_t stride, const int8_t* panel, int64_t columns,
                 __m512i (*c)[2]) {
  const int8_t* second = panel + kChunk * kRows;
  __m512i sums[ROWS][2];
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i) sums[i][0] = sums[i][1] = _mm512_setzero_si512();
  for (int64_t q = 0; q < columns / 4; ++q) {
    const __m512i b0 = _mm512_load_si512(panel + q * 64), b1 = _mm512_load_si512(second + q * 64);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) {
      const __m512i z = four(a + i * stride + 4 * q);
      sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], z, b0);
      sums[i][1] = _mm512_dpbusd_epi32(sums[i][1], z, b1);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i) {
    c[i][0] = sums[i][0];
    c[i][1] = sums[i][1];
  }
}

// Few rows: the weights of one block go from bits to registers.
template <int ROWS>
inline void flat(const uint8_t* a, int64_t stride, const Side& side, int64_t columns,
                 __m512i (*c)[2]) {
  constexpr int kWays = ROWS == 1 ? 4 : 2;
  __m512i sums[ROWS][kWays];
  for (int i = 0; i < ROWS; ++i)
    for (int way = 0; way < kWays; ++way) sums[i][way] = _mm512_setzero_si512();
  for (int64_t g = 0; g < columns / kGroup; ++g) {
    const __m512i lo = spread(side.levels + g * 32), hi = spread(side.levels + g * 32 + 16);
    for (int64_t line = 0; line < 32; line += 8)
      _mm_prefetch(reinterpret_cast<const char*>(side.bits + 32 * g + 256 + line), _MM_HINT_T0);
    for (int64_t q = 32 * g; q < 32 * g + 32; q += kWays)
#pragma GCC unroll 4
      for (int way = 0; way < kWays; ++way) {
        const __m512i b = _mm512_mask_blend_epi8(side.bits[q + way], lo, hi);
#pragma GCC unroll 4
        for (int i = 0; i < ROWS; ++i)
          sums[i][way] =
              _mm512_dpbusd_epi32(sums[i][way], four(a + i * stride + 4 * (q + way)), b);
      }
  }
  for (int i = 0; i < ROWS; ++i) {
    c[i][0] = sums[i][0];
    for (int way = 1; way < kWays; ++way) c[i][0] = _mm512_add_epi32(c[i][0], sums[i][way]);
  }
}

using Product = void (*)(const uint8_t*, int64_t, const int8_t*, int64_t, __m512i (*)[2]);
using FewProduct = void (*)(const uint8_t*, int64_t, const Side&, int64_t, __m512i (*)[2]);

struct Strip {  // one or two blocks of 16 rows of weights, all rows of activations
  const Multiply& job;
  int64_t block, blocks;
  const uint8_t* a;
  int64_t stride;
  float* part;  // [blocks][count][16]
  float* sums;
  int8_t* panel;
};

// Adds the integer sums of some rows in one chunk.
void add(const Strip& strip, int64_t c, const Chunk& chunk, int64_t m, int64_t count,
         const __m512i (*products)[2]) {
  const Multiply& job = strip.job;
  const float* scales = reinterpret_cast<const float*>(job.prepared) + c * padded_rows(job.count);
  const int64_t all = up(job.weight->out_features, kRows);
  for (int64_t b = 0; b < strip.blocks; ++b) {
    float row_scale[kRows];
    block_scales(*job.weight, strip.block + b, chunk.segment, row_scale);
    const __m512 by = _mm512_loadu_ps(row_scale);
    const int32_t* total = job.weight->sums + c * all + (strip.block + b) * kRows;
    const __m512i offset = _mm512_slli_epi32(_mm512_loadu_si512(total), 7);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = (b * job.count + m + i) * kRows;
      const __m512 value = _mm512_cvtepi32_ps(_mm512_sub_epi32(products[i][b], offset));
      const __m512 before = chunk.opens ? _mm512_setzero_ps() : _mm512_loadu_ps(strip.part + at);
      const __m512 now = _mm512_fmadd_ps(value, _mm512_set1_ps(scales[m + i]), before);
      if (!chunk.closes) {
        _mm512_storeu_ps(strip.part + at, now);
        continue;
      }
      _mm512_storeu_ps(strip.sums + at, _mm512_fmadd_ps(now, by, _mm512_loadu_ps(strip.sums + at)));
    }
  }
}

Side side_of(const Strip& strip, int64_t b, const Chunk& chunk) {
  const int64_t place = (strip.block + b) * strip.job.widths.all() + chunk.first;
  return {strip.job.weight->bits + place / 4, strip.job.weight->levels + place / kGroup * 32};
}

void few_rows(const Strip& strip) {
  static const FewProduct products[kFew + 1] = {nullptr, flat<1>, flat<2>, flat<3>, flat<4>};
  const Widths& widths = strip.job.widths;
  for (int64_t c = 0; c < widths.chunks(); ++c) {
    const Chunk chunk = chunk_at(widths, c);
    const Side side = side_of(strip, 0, chunk);
    for (int64_t m = 0; m < strip.job.count; m += kFew) {
      const int64_t count = least(kFew, strip.job.count - m);
      __m512i found[kFew][2];
      products[count](strip.a + m * strip.stride + chunk.first, strip.stride, side,
                      chunk.last - chunk.first, found);
      add(strip, c, chunk, m, count, found);
    }
  }
}

void many_rows(const Strip& strip) {
  const Widths& widths = strip.job.widths;
  for (int64_t c = 0; c < widths.chunks(); ++c) {
    const Chunk chunk = chunk_at(widths, c);
    for (int64_t b = 0; b < strip.blocks; ++b)
      unpack(side_of(strip, b, chunk), chunk.last - chunk.first, strip.panel + b * kChunk * kRows);
    for (int64_t m = 0; m < strip.job.count;) {
      const int64_t left = strip.job.count - m;
      const int64_t count = left >= kTall ? kTall : left >= kFew ? kFew : 1;
      const Product product = count == kTall ? tall<kTall> : count == kFew ? tall<kFew> : tall<1>;
      __m512i found[kTall][2];
      product(strip.a + m * strip.stride + chunk.first, strip.stride, strip.panel,
              chunk.last - chunk.first, found);
      add(strip, c, chunk, m, count, found);
      m += count;
    }
  }
}

}  // namespace

// One task: two blocks of 16 rows of weights, or kVnniFewBlocks of them where rows are few.
void multiply_vnni(void* context, int task) {
  Multiply& job = *static_cast<Multiply*>(context);
  const bool few = job.count <= kVnniFew;
  const int64_t all = up(job.weight->out_features, kRows) / kRows;
  const int64_t each = few ? kVnniFewBlocks : 2, first = task * each;
  float* sums = static_cast<float*>(scratch(SUMS, job.count * kRows * 4 * 4));
  int8_t* panel = static_cast<int8_t*>(scratch(PANEL, kChunk * kRows * 2));
  if (!sums || !panel) {
    job.failed = 1;
    return;
  }
  const int64_t size = job.count * kRows;
  const uint8_t* a = reinterpret_cast<const uint8_t*>(job.prepared) +
                     payload(U8, job.count, job.widths);
  const int64_t step = few ? 1 : 2;
  for (int64_t block = first; block < least(first + each, all); block += step) {
    const int64_t blocks = least(step, all - block);
    memset(sums, 0, blocks * size * 4);
    if (blocks < step) memset(panel, 0, kChunk * kRows * 2);
    const Strip strip{job,  block, blocks, a, job.widths.all() + kPad8, sums + 2 * size,
                      sums, panel};
    few ? few_rows(strip) : many_rows(strip);
    for (int64_t b = 0; b < blocks; ++b) store_block(job, block + b, sums + b * size);
  }
}

double peak_vnni(int64_t repeats) {
  __m512i sums[12] = {}, a = {}, b = {};
  for (int64_t i = 0; i < repeats; ++i)
#pragma GCC unroll 12
    for (int k = 0; k < 12; ++k) {
      sums[k] = _mm512_dpbusd_epi32(sums[k], a, b);
      __asm__ volatile("" : "+v"(sums[k]));  // the result counts as used
    }
  return static_cast<double>(repeats) * 12 * 128;
}

}  // namespace hb
