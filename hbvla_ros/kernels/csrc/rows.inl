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

// Prologue, a row at a time: gather, transform, quantize. The including file names the function
// prepare_rows_<ISA>; the compiler vectorizes the loops for the flags of that file.
//
// The order of the floating point operations is that of binarize/transforms.py in float32, so that
// quantized activations are equal bit for bit.

#include <cmath>
#include <cstring>

namespace hb {
namespace {


const float kHalfRoot = 0.70710678118654752440f;

void haar(float* x, int64_t length, int levels) {
  float sums[kBlock / 2], differences[kBlock / 2];
  for (int level = 0; level < levels; ++level, length /= 2) {
    const int64_t half = length / 2;
    for (int64_t i = 0; i < half; ++i) {
      sums[i] = (x[2 * i] + x[2 * i + 1]) * kHalfRoot;
      differences[i] = (x[2 * i] - x[2 * i + 1]) * kHalfRoot;
    }
    memcpy(x, sums, half * 4);
    memcpy(x + half, differences, half * 4);
  }
}

void hadamard(float* x, int64_t length) {
  for (int64_t half = 1; half < length; half *= 2)
    for (int64_t at = 0; at < length; at += 2 * half)
      for (int64_t i = at; i < at + half; ++i) {
        const float first = x[i], second = x[i + half];
        x[i] = first + second;
        x[i + half] = first - second;
      }
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(length)));
  for (int64_t i = 0; i < length; ++i) x[i] *= scale;
}

void turn(float* x, int64_t width, int transform) {
  for (int64_t at = 0; at < width; at += kBlock) {
    const int64_t length = least(kBlock, width - at);
    if (transform > 0) haar(x + at, length, transform);
    if (transform < 0) hadamard(x + at, length);
  }
}

// Gathered and transformed columns of one row, the salient ones once more at the end.
void gather(const Prepare& job, const char* row, float* z) {
  const hb_columns& columns = *job.columns;
  const int64_t width = job.widths.plain + job.widths.salient;
  const int32_t* sources = columns.sources;
  if (job.type == HB_FLOAT32) {
    const float* x = reinterpret_cast<const float*>(row);
    for (int64_t i = 0; i < width; ++i) z[i] = sources[i] < 0 ? 0.0f : x[sources[i]];
  } else {
    const uint16_t* x = reinterpret_cast<const uint16_t*>(row);
    for (int64_t i = 0; i < width; ++i) z[i] = sources[i] < 0 ? 0.0f : widen(x[sources[i]]);
  }
  turn(z, job.widths.plain, columns.plain_transform);
  turn(z + job.widths.plain, job.widths.salient, columns.salient_transform);
  memcpy(z + width, z + job.widths.plain, job.widths.salient * 4);
}

// Writes the scaled activations, rounded to even, as T xor-ed with flip; returns the scale, which
// is not finite if an activation is not.
template <typename T>
float quantize(const float* z, int64_t count, T flip, T* out) {
  constexpr int kLanes = 16;  // partial results that the compiler keeps in registers
  float largest[kLanes] = {}, wrong[kLanes] = {};
  for (int64_t i = 0; i < count; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) {
      const float magnitude = std::fabs(z[i + lane]);
      largest[lane] = magnitude > largest[lane] ? magnitude : largest[lane];
      wrong[lane] += z[i + lane] * 0.0f;
    }
  for (int lane = 1; lane < kLanes; ++lane) {
    largest[0] = largest[lane] > largest[0] ? largest[lane] : largest[0];
    wrong[0] += wrong[lane];
  }
  if (!(largest[0] >= kTiny && wrong[0] == 0.0f)) {
    for (int64_t i = 0; i < count; ++i) out[i] = flip;
    return wrong[0];
  }
  const float inverse = 127.0f / largest[0];
  for (int64_t i = 0; i < count; ++i)
    out[i] = static_cast<T>(static_cast<int32_t>(std::nearbyintf(z[i] * inverse))) ^ flip;
  return largest[0] / 127.0f;
}

template <typename T>
void write_quantized(const Prepare& job, int64_t row, const float* z, T flip, int64_t padding) {
  const Widths& widths = job.widths;
  T* body = reinterpret_cast<T*>(job.out + payload(job.format, job.count, widths));
  T* out = body + row * (widths.all() + padding);
  float* scales = reinterpret_cast<float*>(job.out);
  for (int64_t c = 0; c < widths.chunks(); ++c) {
    const Chunk chunk = chunk_at(widths, c);
    scales[c * padded_rows(job.count) + row] =
        quantize(z + chunk.first, chunk.last - chunk.first, flip, out + chunk.first);
  }
}

void write_row(const Prepare& job, int64_t row, const float* z) {
  const int64_t width = job.widths.all();
  if (job.format == F32)
    memcpy(job.out + row * (width + kPad32) * 4, z, width * 4);
  else if (job.format == R16)
    write_quantized<int16_t>(job, row, z, 0, kPad16);
  else
    write_quantized<uint8_t>(job, row, z, job.format == U8 ? 0x80 : 0, kPad8);
}

void prepare_rows(void* context, int task) {
  Prepare& job = *static_cast<Prepare*>(context);
  float* z = static_cast<float*>(scratch(COLUMNS, job.widths.all() * 4));
  const int64_t first = task * kRowsPerTask, bytes = job.type == HB_FLOAT32 ? 4 : 2;
  const Rows rows = entering(job, first, least(kRowsPerTask, job.count - first));
  if (!z || !rows.data) {
    job.failed = 1;
    return;
  }
  for (int64_t i = 0; i < rows.count; ++i) {
    gather(job, rows.data + i * rows.stride * bytes, z);
    write_row(job, first + i, z);
  }
}

}  // namespace
}  // namespace hb
