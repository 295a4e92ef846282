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

// Exact product in float32: unpack 16 rows x 256 columns of weights to floats, multiply with
// MR rows of activations at a time. The including file defines kVector (floats in a register), kMR
// and unpack(); the panel is [column][16].

namespace hb {
namespace {

constexpr int64_t kPanel = 256;
typedef float Vector __attribute__((vector_size(4 * kVector), aligned(4)));
constexpr int kParts = kRows / kVector;

template <int MR>
inline void block(const float* a, int64_t stride, const float* panel, int64_t columns,
                  const float* scale, float* sums) {
  Vector c[MR][kParts] = {};
  for (int64_t k = 0; k < columns; ++k) {
    Vector b[kParts];
    for (int p = 0; p < kParts; ++p)
      b[p] = *reinterpret_cast<const Vector*>(panel + k * kRows + p * kVector);
    for (int i = 0; i < MR; ++i)
      for (int p = 0; p < kParts; ++p) c[i][p] += b[p] * a[i * stride + k];
  }
  for (int i = 0; i < MR; ++i)
    for (int p = 0; p < kParts; ++p) {
      Vector* sum = reinterpret_cast<Vector*>(sums + i * kRows + p * kVector);
      *sum += c[i][p] * *reinterpret_cast<const Vector*>(scale + p * kVector);
    }
}

void rows_times_panel(const float* a, int64_t stride, int64_t rows, const float* panel,
                      int64_t columns, const float* scale, float* sums) {
  int64_t row = 0;
  for (; row + kMR <= rows; row += kMR)
    block<kMR>(a + row * stride, stride, panel, columns, scale, sums + row * kRows);
  for (; row < rows; ++row)
    block<1>(a + row * stride, stride, panel, columns, scale, sums + row * kRows);
}

// One task: one block of 16 rows of weights, all rows of activations.
void multiply_panels(void* context, int task) {
  Multiply& job = *static_cast<Multiply*>(context);
  const Widths& widths = job.widths;
  const hb_weight& weight = *job.weight;
  float* sums = static_cast<float*>(scratch(SUMS, job.count * kRows * 4));
  float* panel = static_cast<float*>(scratch(PANEL, kPanel * kRows * 4));
  if (!sums || !panel) {
    job.failed = 1;
    return;
  }
  memset(sums, 0, job.count * kRows * 4);
  const float* a = reinterpret_cast<const float*>(job.prepared);
  const int64_t stride = widths.all() + kPad32;
  for (int64_t k = 0; k < widths.all();) {
    const bool salient = k >= widths.plain;
    const int64_t last = least(k + kPanel, salient ? widths.all() : widths.plain);
    float scale[kRows];
    block_scales(weight, task, salient && widths.plain ? 1 : 0, scale);
    unpack(weight.bits + (task * widths.all() + k) / 4,
           weight.levels + (task * widths.all() + k) / kGroup * 32, last - k, panel);
    rows_times_panel(a + k, stride, job.count, panel, last - k, scale, sums);
    k = last;
  }
  store_block(job, task, sums);
}

}  // namespace
}  // namespace hb
