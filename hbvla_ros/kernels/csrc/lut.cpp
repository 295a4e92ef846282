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

// Exact product of few rows in float32: a table of the 16 sums of four activations, looked up by
// the four sign bits of a row (the idea of T-MAC, arXiv 2407.00088, in float32).
//
// w = lo + bit * (hi - lo), so a group adds (hi - lo) * looked-up + lo * sum of its activations.

#include "internal.h"

#include <immintrin.h>

#include "store.inl"

namespace hb {
namespace {

constexpr int64_t kTable = 16, kTogether = 4;  // floats of a table; rows in one pass

inline __m512 wide(const int8_t* levels) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels))));
}

// table [columns / 4][16], then the sums of the groups [columns / 128].
void build(const float* z, int64_t columns, float* table) {
  float* group_sums = table + columns / 4 * kTable;
  for (int64_t g = 0; g < columns / kGroup; ++g) {
    float sum = 0.0f;
    for (int64_t q = 32 * g; q < 32 * g + 32; ++q) {
      __m512 entries = _mm512_setzero_ps();
      const __mmask16 has[4] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};
      for (int i = 0; i < 4; ++i)
        entries = _mm512_mask_add_ps(entries, has[i], entries, _mm512_set1_ps(z[4 * q + i]));
      _mm512_store_ps(table + q * kTable, entries);
      sum += table[q * kTable + 15];
    }
    group_sums[g] = sum;
  }
}

// Adds the product of one segment for ROWS rows of activations.
template <int ROWS>
inline void segment(const uint64_t* bits, const int8_t* levels, int64_t first, int64_t last,
                    int64_t columns, const float* tables, int64_t size, __m512 scale,
                    __m512* sums) {
  // Lane j of 64-bit word w/2 reads the nibble of its row: bit offsets 4 * j, two rows a word.
  const __m512i shifts = _mm512_set_epi64(
      0x3c3c3c3c38383838ull, 0x3434343430303030ull, 0x2c2c2c2c28282828ull, 0x2424242420202020ull,
      0x1c1c1c1c18181818ull, 0x1414141410101010ull, 0x0c0c0c0c08080808ull, 0x0404040400000000ull);
  __m512 part[ROWS];
  for (int r = 0; r < ROWS; ++r) part[r] = _mm512_setzero_ps();
  for (int64_t g = first / kGroup; g < last / kGroup; ++g) {
    __m512 even[ROWS], odd[ROWS];
    for (int r = 0; r < ROWS; ++r) even[r] = odd[r] = _mm512_setzero_ps();
    for (int64_t line = 0; line < 32; line += 8)
      _mm_prefetch(reinterpret_cast<const char*>(bits + 32 * g + 256 + line), _MM_HINT_T0);
    for (int64_t q = 32 * g; q < 32 * g + 32; q += 2) {
      const __m512i one = _mm512_multishift_epi64_epi8(shifts, _mm512_set1_epi64(bits[q]));
      const __m512i two = _mm512_multishift_epi64_epi8(shifts, _mm512_set1_epi64(bits[q + 1]));
      for (int r = 0; r < ROWS; ++r) {
        const float* table = tables + r * size + q * kTable;
        even[r] = _mm512_add_ps(even[r], _mm512_permutexvar_ps(one, _mm512_load_ps(table)));
        odd[r] = _mm512_add_ps(odd[r], _mm512_permutexvar_ps(two, _mm512_load_ps(table + kTable)));
      }
    }
    const __m512 lo = wide(levels + g * 32), step = _mm512_sub_ps(wide(levels + g * 32 + 16), lo);
    for (int r = 0; r < ROWS; ++r) {
      const float group_sum = tables[r * size + columns / 4 * kTable + g];
      part[r] = _mm512_fmadd_ps(_mm512_add_ps(even[r], odd[r]), step, part[r]);
      part[r] = _mm512_fmadd_ps(_mm512_set1_ps(group_sum), lo, part[r]);
    }
  }
  for (int r = 0; r < ROWS; ++r) sums[r] = _mm512_fmadd_ps(part[r], scale, sums[r]);
}

template <int ROWS>
void rows(const Multiply& job, int64_t block, const float* tables, int64_t size, float* sums) {
  const Widths& widths = job.widths;
  const uint64_t* bits = job.weight->bits + block * widths.all() / 4;
  const int8_t* levels = job.weight->levels + block * widths.all() / kGroup * 32;
  __m512 total[ROWS];
  for (int r = 0; r < ROWS; ++r) total[r] = _mm512_setzero_ps();
  const int64_t ends[3] = {0, widths.plain, widths.all()};
  for (int part = 0, number = 0; part < 2; ++part) {
    if (ends[part] == ends[part + 1]) continue;
    float scale[kRows];
    block_scales(*job.weight, block, number++, scale);
    segment<ROWS>(bits, levels, ends[part], ends[part + 1], widths.all(), tables, size,
                  _mm512_loadu_ps(scale), total);
  }
  for (int r = 0; r < ROWS; ++r) _mm512_storeu_ps(sums + r * kRows, total[r]);
}

}  // namespace

// One task: a stretch of blocks for all rows; it builds the tables of its rows itself.
void multiply_lut(void* context, int task) {
  Multiply& job = *static_cast<Multiply*>(context);
  const int64_t columns = job.widths.all(), blocks = up(job.weight->out_features, kRows) / kRows;
  const int64_t size = columns / 4 * kTable + up(columns / kGroup, 16);
  float* tables = static_cast<float*>(scratch(COLUMNS, kTogether * size * 4));
  float* sums = static_cast<float*>(scratch(SUMS, kTogether * kRows * 4));
  if (!tables || !sums) {
    job.failed = 1;
    return;
  }
  const int64_t first = task * kLutBlocks;
  const float* z = reinterpret_cast<const float*>(job.prepared);
  for (int64_t m = 0; m < job.count; m += kTogether) {
    const int64_t count = least(kTogether, job.count - m);
    for (int64_t r = 0; r < count; ++r)
      build(z + (m + r) * (columns + kPad32), columns, tables + r * size);
    Multiply some = job;
    some.count = count;
    some.output.data = static_cast<char*>(job.output.data) +
                       m * job.output.stride * (job.output.type == HB_FLOAT32 ? 4 : 2);
    for (int64_t block = first; block < least(first + kLutBlocks, blocks); ++block) {
      switch (count) {
        case 1: rows<1>(job, block, tables, size, sums); break;
        case 2: rows<2>(job, block, tables, size, sums); break;
        case 3: rows<3>(job, block, tables, size, sums); break;
        default: rows<4>(job, block, tables, size, sums);
      }
      store_block(some, block, sums);
    }
  }
}

}  // namespace hb
