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

// Every processor: what the compiler makes of plain C++ (SSE2 on x86, NEON on ARM).

#include "internal.h"

#include "store.inl"
#include "rows.inl"
#include "pointwise.inl"
#include "int8.inl"

namespace hb {
namespace {

constexpr int kVector = 4, kMR = 4;

void unpack(const uint64_t* bits, const int8_t* levels, int64_t columns, float* panel) {
  for (int64_t q = 0; q < columns / 4; ++q) {
    const int8_t* level = levels + q / 32 * 32;
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 16; ++j)
        panel[(4 * q + i) * 16 + j] = level[(bits[q] >> (4 * j + i) & 1) * 16 + j];
  }
}

void dots(const int8_t* a, int64_t, int64_t, const void* weights, int64_t columns,
          int32_t* products) {
  const int8_t* panel = static_cast<const int8_t*>(weights);
  memset(products, 0, kRows * 4);
  for (int64_t q = 0; q < columns / 4; ++q)
    for (int j = 0; j < kRows; ++j)
      for (int i = 0; i < 4; ++i) products[j] += a[4 * q + i] * panel[q * 64 + 4 * j + i];
}

}  // namespace
}  // namespace hb

#include "panel.inl"

namespace hb {

const Pointwise& pointwise_portable() { return kPointwise; }
void prepare_rows_portable(void* prepare, int task) { prepare_rows(prepare, task); }
void multiply_portable(void* multiply, int task) { multiply_panels(multiply, task); }
void multiply_portable_int8(void* multiply, int task) {
  const int64_t stride = static_cast<Multiply*>(multiply)->widths.all() + kPad8;
  multiply_chunks<int8_t, 1>(multiply, task, stride, unpack_bytes, dots);
}

}  // namespace hb
