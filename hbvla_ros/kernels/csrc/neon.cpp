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

// ARM: int8 activations with the dot product of ARMv8.2 (sdot).

#include "internal.h"

#include <arm_neon.h>

#include "store.inl"
#include "int8.inl"

namespace hb {
namespace {

constexpr int kAtOnce = 4;

// The integer weights of 16 rows, [column / 4][16][4]: one look-up in {lo, hi} for 4 rows.
void unpack(const uint64_t* bits, const int8_t* levels, int64_t columns, void* panel) {
  int8_t* out = static_cast<int8_t*>(panel);
  const uint8x16_t masks = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t spread[4] = {{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3},
                                {4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7},
                                {8, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11},
                                {12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15}};
  for (int64_t g = 0; g < columns / kGroup; ++g) {
    const int8x16_t lo = vld1q_s8(levels + g * 32), hi = vld1q_s8(levels + g * 32 + 16);
    for (int64_t q = 32 * g; q < 32 * g + 32; ++q)
      for (int part = 0; part < 4; ++part) {
        const uint16_t four = static_cast<uint16_t>(bits[q] >> (16 * part));
        const uint8x16_t bytes = vcombine_u8(vdup_n_u8(four & 255), vdup_n_u8(four >> 8));
        const uint8x16_t set = vtstq_u8(bytes, masks);
        vst1q_s8(out + q * 64 + 16 * part,
                 vbslq_s8(set, vqtbl1q_s8(hi, spread[part]), vqtbl1q_s8(lo, spread[part])));
      }
  }
}

template <int ROWS>
inline void some(const int8_t* a, int64_t stride, const int8_t* panel, int64_t columns,
                 int32_t* products) {
  int32x4_t c[ROWS][4];
  for (int i = 0; i < ROWS; ++i)
    for (int p = 0; p < 4; ++p) c[i][p] = vdupq_n_s32(0);
  for (int64_t q = 0; q < columns / 4; ++q) {
    int8x16_t b[4];
    for (int p = 0; p < 4; ++p) b[p] = vld1q_s8(panel + q * 64 + 16 * p);
    for (int i = 0; i < ROWS; ++i) {
      int32_t bytes;
      memcpy(&bytes, a + i * stride + 4 * q, 4);
      const int8x16_t z = vreinterpretq_s8_s32(vdupq_n_s32(bytes));
      for (int p = 0; p < 4; ++p) c[i][p] = vdotq_s32(c[i][p], b[p], z);
    }
  }
  for (int i = 0; i < ROWS; ++i)
    for (int p = 0; p < 4; ++p) vst1q_s32(products + 16 * i + 4 * p, c[i][p]);
}

void dots(const int8_t* a, int64_t stride, int64_t count, const void* weights, int64_t columns,
          int32_t* products) {
  const int8_t* panel = static_cast<const int8_t*>(weights);
  if (count == kAtOnce) return some<kAtOnce>(a, stride, panel, columns, products);
  for (int64_t i = 0; i < count; ++i)
    some<1>(a + i * stride, stride, panel, columns, products + i * kRows);
}

}  // namespace

void multiply_neon(void* multiply, int task) {
  const int64_t stride = static_cast<Multiply*>(multiply)->widths.all() + kPad8;
  multiply_chunks<int8_t, kAtOnce>(multiply, task, stride, unpack, dots);
}

}  // namespace hb
