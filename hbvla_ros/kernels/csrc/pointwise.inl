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

// What lies between the products of a Llama layer, a row at a time. The including file names the
// functions; the compiler vectorizes the loops for the flags of that file. Values of bfloat16 are
// rounded wherever torch rounds them, in float32 nothing is.

#include <cmath>

namespace hb {
namespace {

inline float number_of(float value) { return value; }
inline float number_of(uint16_t value) { return widen(value); }
template <typename T> T rounded(float value);
template <> inline float rounded<float>(float value) { return value; }
template <> inline uint16_t rounded<uint16_t>(float value) { return narrow(value); }
// To the precision of T and back.
template <typename T> inline float as(float value) { return number_of(rounded<T>(value)); }

// Cephes' exponential: 2^n times a polynomial of the rest; within 2 units in the last place.
inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: the sum has no room for a fraction
  const float n = (x * 1.44269504088896341f + kToInteger) - kToInteger;
  const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  memcpy(&power, &bits, 4);
  return p * power;
}

template <typename T>
void normalize_row(const Normalize& job, int64_t row, char* to) {
  const int64_t width = job.width;
  T* x = reinterpret_cast<T*>(job.data) + row * width;
  const T* weight = static_cast<const T*>(job.norm->weight);
  T* out = reinterpret_cast<T*>(to);
  if (job.norm->add) {
    const T* add = static_cast<const T*>(job.norm->add) + row * width;
    for (int64_t i = 0; i < width; ++i) x[i] = rounded<T>(number_of(x[i]) + number_of(add[i]));
  }
  constexpr int kLanes = 64;  // partial sums that the compiler keeps in registers
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) {
      const float value = number_of(x[i + lane]);
      sums[lane] += value * value;
    }
  for (; i < width; ++i) sums[0] += number_of(x[i]) * number_of(x[i]);
  for (int lane = 1; lane < kLanes; ++lane) sums[0] += sums[lane];
  const float scale = 1.0f / std::sqrt(sums[0] / static_cast<float>(width) + job.norm->epsilon);
  for (int64_t k = 0; k < width; ++k)
    out[k] = rounded<T>(number_of(weight[k]) * as<T>(number_of(x[k]) * scale));
}

void normalize_any(const Normalize& job, int64_t row, char* out) {
  (job.type == HB_BFLOAT16 ? normalize_row<uint16_t> : normalize_row<float>)(job, row, out);
}

template <typename T>
void normalize_to(const Normalize& job, int64_t row) {
  const int64_t bytes = job.width * static_cast<int64_t>(sizeof(T));
  normalize_row<T>(job, row, job.out + row * bytes);
}

template <typename T>
void gate_row(const Gate& job, int64_t row) {
  T* gate = static_cast<T*>(job.gate) + row * job.width;
  const T* up = static_cast<const T*>(job.up) + row * job.width;
  constexpr int64_t kLanes = 64;  // loops so short and simple that the compiler vectorizes each
  float x[kLanes];
  for (int64_t at = 0; at < job.width; at += kLanes) {
    const int64_t count = least(kLanes, job.width - at);
    for (int64_t i = 0; i < count; ++i) x[i] = number_of(gate[at + i]);
    for (int64_t i = 0; i < count; ++i) x[i] /= 1.0f + exponential(-x[i]);
    for (int64_t i = 0; i < count; ++i)
      gate[at + i] = rounded<T>(as<T>(x[i]) * number_of(up[at + i]));
  }
}

template <typename T>
void rotate_row(const Rotate& job, int64_t row) {
  const int64_t half = job.width / 2;
  const T* cosines = static_cast<const T*>(job.cosines) + row * job.width;
  const T* sines = static_cast<const T*>(job.sines) + row * job.width;
  for (int64_t head = 0; head < job.heads; ++head) {
    T* x = static_cast<T*>(job.data) + (row * job.heads + head) * job.width;
    for (int64_t i = 0; i < half; ++i) {
      const float a = number_of(x[i]), b = number_of(x[i + half]);
      x[i] = rounded<T>(as<T>(a * number_of(cosines[i])) - as<T>(b * number_of(sines[i])));
      x[i + half] = rounded<T>(as<T>(b * number_of(cosines[i + half])) +
                               as<T>(a * number_of(sines[i + half])));
    }
  }
}

template <typename Job, void (*NARROW)(const Job&, int64_t), void (*WIDE)(const Job&, int64_t)>
void rows_of(void* context, int task) {
  const Job& job = *static_cast<const Job*>(context);
  const int64_t first = task * kRowsPerTask;
  for (int64_t row = first; row < least(first + kRowsPerTask, job.count); ++row)
    (job.type == HB_BFLOAT16 ? NARROW : WIDE)(job, row);
}

constexpr Pointwise kPointwise = {
    rows_of<Normalize, normalize_to<uint16_t>, normalize_to<float>>,
    rows_of<Gate, gate_row<uint16_t>, gate_row<float>>,
    rows_of<Rotate, rotate_row<uint16_t>, rotate_row<float>>,
    normalize_any,
};

}  // namespace
}  // namespace hb
