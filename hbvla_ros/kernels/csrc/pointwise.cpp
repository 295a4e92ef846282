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

// The exported functions between products: check every argument, cut the rows into tasks.

#include "internal.h"

namespace hb {
namespace {

constexpr int64_t kMostHeads = 1 << 12;

bool sized(int64_t count, int64_t width, int type) {
  return fits(count, kLargest) && width > 0 && fits(width, kLargest) &&
         (type == HB_FLOAT32 || type == HB_BFLOAT16);
}

bool aligned(int type, const void* a, const void* b, const void* c, const void* d) {
  const uintptr_t all = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) |
                        reinterpret_cast<uintptr_t>(c) | reinterpret_cast<uintptr_t>(d);
  return all % (type == HB_FLOAT32 ? 4 : 2) == 0;
}

void run(Task task, void* job, int64_t count, int threads) {
  parallel(static_cast<int>((count + kRowsPerTask - 1) / kRowsPerTask), threads, task, job);
}

}  // namespace

const Pointwise& pointwise() {
#if defined(__x86_64__)
  if (available_paths() >> HB_AVX512 & 1) return pointwise_avx512();
  if (available_paths() >> HB_AVX2 & 1) return pointwise_avx2();
#endif
  return pointwise_portable();
}

Rows entering(const Prepare& job, int64_t first, int64_t count) {
  const int64_t bytes = job.type == HB_FLOAT32 ? 4 : 2, width = job.columns->in_features;
  if (!job.norm) return {job.rows + first * job.stride * bytes, job.stride, count};
  char* normed = static_cast<char*>(scratch(NORMED, count * width * bytes));
  const Normalize norm{job.rows, job.norm, nullptr, job.count, width, job.type};
  const auto normalize = pointwise().normalize_row;
  for (int64_t i = 0; normed && i < count; ++i)
    normalize(norm, first + i, normed + i * width * bytes);
  return {normed, width, count};
}

}  // namespace hb

int hb_normalize(void* data, const hb_norm* norm, void* out, int64_t count, int64_t width, int type,
                 int threads) {
  if (!data || !norm || !norm->weight || !out) return HB_NULL;
  if (!hb::sized(count, width, type)) return HB_SHAPE;
  if (!hb::aligned(type, data, norm->add, norm->weight, out)) return HB_ALIGNMENT;
  hb::Normalize job{static_cast<char*>(data), norm, static_cast<char*>(out), count, width, type};
  hb::run(hb::pointwise().normalize, &job, count, threads);
  return HB_OK;
}

int hb_gate(void* gate, const void* up, int64_t count, int64_t width, int type, int threads) {
  if (!gate || !up) return HB_NULL;
  if (!hb::sized(count, width, type)) return HB_SHAPE;
  if (!hb::aligned(type, gate, up, nullptr, nullptr)) return HB_ALIGNMENT;
  hb::Gate job{gate, up, count, width, type};
  hb::run(hb::pointwise().gate, &job, count, threads);
  return HB_OK;
}

int hb_rotate(void* data, const void* cosines, const void* sines, int64_t count, int64_t heads,
              int64_t width, int type, int threads) {
  if (!data || !cosines || !sines) return HB_NULL;
  if (!hb::sized(count, width, type) || width % 2 || heads < 1 || heads > hb::kMostHeads)
    return HB_SHAPE;
  if (!hb::aligned(type, data, cosines, sines, nullptr)) return HB_ALIGNMENT;
  hb::Rotate job{data, cosines, sines, count, heads, width, type};
  hb::run(hb::pointwise().rotate, &job, count, threads);
  return HB_OK;
}
