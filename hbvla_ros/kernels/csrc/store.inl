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

// Small helpers of the paths that work on blocks of 16 rows of weights.

#include <cstring>

namespace hb {
namespace {

// Row scales of one block; rows beyond the last count as zero.
inline void block_scales(const hb_weight& weight, int64_t block, int segment, float* scale) {
  const int64_t rows = least(kRows, weight.out_features - block * kRows);
  memset(scale, 0, kRows * 4);
  memcpy(scale, weight.row_scale + segment * weight.out_features + block * kRows, rows * 4);
}

// Without a branch, so that loops over it can be vectorized.
inline uint16_t narrow(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  const bool number = (bits & 0x7fffffff) <= 0x7f800000;
  return static_cast<uint16_t>((number ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000) >> 16);
}

inline float widen(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

// Sums [count][16] of one block, plus the bias, to the output.
inline void store_block(const Multiply& job, int64_t block, const float* sums) {
  const int64_t rows = least(kRows, job.weight->out_features - block * kRows);
  const bool add = job.output.accumulate;
  float bias[kRows] = {};
  if (job.output.bias) memcpy(bias, job.output.bias + block * kRows, rows * 4);
  for (int64_t m = 0; m < job.count; ++m) {
    const float* from = sums + m * kRows;
    const int64_t at = m * job.output.stride + block * kRows;
    if (job.output.type == HB_FLOAT32) {
      float* to = static_cast<float*>(job.output.data) + at;
      if (add)
        for (int64_t j = 0; j < rows; ++j) to[j] += from[j] + bias[j];
      else
        for (int64_t j = 0; j < rows; ++j) to[j] = from[j] + bias[j];
    } else {
      uint16_t* to = static_cast<uint16_t*>(job.output.data) + at;
      if (add)
        for (int64_t j = 0; j < rows; ++j)
          to[j] = narrow(widen(to[j]) + widen(narrow(from[j] + bias[j])));
      else
        for (int64_t j = 0; j < rows; ++j) to[j] = narrow(from[j] + bias[j]);
    }
  }
}

}  // namespace
}  // namespace hb
