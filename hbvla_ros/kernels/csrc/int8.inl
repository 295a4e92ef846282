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

// Product with int8 activations for any processor: int32 sums of a chunk of 512 columns, then
// sums = fma(float(chunk), activation scale, sums); at the end of a segment times the row scale.
// That order is the contract of every int8 path: they agree bit for bit.

#include <cmath>

namespace hb {
namespace {

// The integer weights of 16 rows, [column / 4][16][4].
inline void unpack_bytes(const uint64_t* bits, const int8_t* levels, int64_t columns, void* panel) {
  int8_t* out = static_cast<int8_t*>(panel);
  for (int64_t q = 0; q < columns / 4; ++q) {
    const int8_t* level = levels + q / 32 * 32;
    for (int j = 0; j < 16; ++j)
      for (int i = 0; i < 4; ++i)
        out[q * 64 + 4 * j + i] = level[(bits[q] >> (4 * j + i) & 1) * 16 + j];
  }
}

inline void add_chunk(const Chunk& chunk, const int32_t* products, float scale,
                      const float* row_scale, float* part, float* sum) {
  for (int j = 0; j < kRows; ++j) {
    part[j] = std::fma(static_cast<float>(products[j]), scale, chunk.opens ? 0.0f : part[j]);
    if (chunk.closes) sum[j] = std::fma(part[j], row_scale[j], sum[j]);
  }
}

// One task: one block of 16 rows of weights, all rows of activations of type A, stride apart.
// unpack(bits, levels, columns, panel) makes a panel of at most kChunk * 16 int16;
// dots(a, stride, count, panel, columns, products) multiplies `count` <= AT_ONCE rows with it.
template <typename A, int AT_ONCE, typename Unpack, typename Dots>
void multiply_chunks(void* context, int task, int64_t stride, Unpack unpack, Dots dots) {
  Multiply& job = *static_cast<Multiply*>(context);
  const Widths& widths = job.widths;
  const hb_weight& weight = *job.weight;
  float* sums = static_cast<float*>(scratch(SUMS, job.count * kRows * 8));
  void* panel = scratch(PANEL, kChunk * kRows * 2);
  if (!sums || !panel) {
    job.failed = 1;
    return;
  }
  float* part = sums + job.count * kRows;
  memset(sums, 0, job.count * kRows * 4);
  const float* scales = reinterpret_cast<const float*>(job.prepared);
  const A* a = reinterpret_cast<const A*>(job.prepared +
                                          payload(format_of(job.path), job.count, widths));
  for (int64_t c = 0; c < widths.chunks(); ++c) {
    const Chunk chunk = chunk_at(widths, c);
    const int64_t columns = chunk.last - chunk.first, place = task * widths.all() + chunk.first;
    float row_scale[kRows];
    block_scales(weight, task, chunk.segment, row_scale);
    unpack(weight.bits + place / 4, weight.levels + place / kGroup * 32, columns, panel);
    for (int64_t m = 0; m < job.count; m += AT_ONCE) {
      int32_t products[AT_ONCE * kRows];
      const int64_t count = least(AT_ONCE, job.count - m);
      dots(a + m * stride + chunk.first, stride, count, panel, columns, products);
      for (int64_t i = 0; i < count; ++i)
        add_chunk(chunk, products + i * kRows, scales[c * padded_rows(job.count) + m + i],
                  row_scale, part + (m + i) * kRows, sums + (m + i) * kRows);
    }
  }
  store_block(job, task, sums);
}

}  // namespace
}  // namespace hb
