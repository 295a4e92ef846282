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

// The C interface of the packed products: plain structs and functions, no torch, no Python.
//
// A product is two calls: hb_prepare turns rows of activations into the layout that a path
// reads (gather, transform, quantize), hb_multiply multiplies that with packed weights. Siblings
// that share their columns (q, k and v) share one preparation. Nothing is kept between calls but
// the threads and their scratch memory. Every function checks its arguments and returns a status.

#ifndef HBVLA_CPU_H_
#define HBVLA_CPU_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HB_API __attribute__((visibility("default")))

enum hb_status { HB_OK = 0, HB_NULL = 1, HB_SHAPE = 2, HB_ALIGNMENT = 3, HB_PATH = 4,
                 HB_MEMORY = 5 };

// How a product is computed. The first group is exact, the second rounds activations to int8.
enum hb_path { HB_PORTABLE = 0, HB_AVX2 = 1, HB_AVX512 = 2, HB_LUT = 3, HB_AMX_BF16 = 4,
               HB_AMX_SPLIT = 5,
               HB_PORTABLE_INT8 = 8, HB_AVX2_INT8 = 9, HB_VNNI = 10, HB_AMX_INT8 = 11,
               HB_NEON = 12, HB_PATHS = 13 };

enum hb_type { HB_FLOAT32 = 0, HB_BFLOAT16 = 1 };

// Transform of a part: 0 none, 1..7 levels of Haar, -1 Hadamard; blocks of 256, the last maybe 128.
struct hb_columns {
  int64_t in_features;    // columns of the caller
  int64_t plain_width;    // padded, a multiple of 128
  int64_t salient_width;  // padded, a multiple of 128; stands twice in the weights
  const int32_t* sources; // [plain_width + salient_width]: column of the caller, -1 for zero
  int32_t plain_transform;
  int32_t salient_transform;
};

// Arrays as in kernels/packing.py. bits is 8-byte aligned, row_scale 4-byte.
struct hb_weight {
  int64_t out_features;
  int64_t plain_width;
  int64_t salient_width;
  const uint64_t* bits;    // [blocks][virtual / 4]
  const int8_t* levels;    // [blocks][virtual / 128][2][16]
  const float* row_scale;  // [segments][out_features]
  const int32_t* sums;     // [chunks][16 * blocks] of hb_chunk_sums; only HB_VNNI reads it
};

struct hb_output {
  void* data;          // [rows][stride]
  int64_t stride;      // elements, at least out_features
  int32_t type;        // hb_type
  const float* bias;   // [out_features] or null
  int32_t accumulate;  // 1: the product, rounded to the type, is added to what data holds
};

// RMSNorm of rows of `width`, all of one hb_type: data += add unless that is null; the result is
// weight * data / sqrt(mean(data^2) + epsilon).
struct hb_norm {
  const void* weight;  // [width]
  const void* add;     // [rows][width] or null
  float epsilon;
};

// What the library was built from; see kernels/build.py.
HB_API const char* hb_sources(void);
// Bit p is set if path p runs on this processor.
HB_API int64_t hb_paths(void);
// Bytes that hb_prepare writes, or -1 if the sizes are impossible.
HB_API int64_t hb_prepared_bytes(int path, int64_t rows, int64_t plain_width,
                                 int64_t salient_width);
// Rows of activations [rows][stride], type hb_type -> prepared (64-byte aligned). Unless norm is
// null they are normalized before, and stride is in_features. Rows are only written by its add.
HB_API int hb_prepare(int path, const struct hb_columns* columns, void* rows, int64_t count,
                      int64_t stride, int type, const struct hb_norm* norm, void* prepared,
                      int threads);
HB_API int hb_multiply(int path, const struct hb_weight* weight, const void* prepared,
                       int64_t count, const struct hb_output* output, int threads);
// Between products, on contiguous rows of hb_type. RMSNorm of [count][width].
HB_API int hb_normalize(void* data, const struct hb_norm* norm, void* out, int64_t count,
                        int64_t width, int type, int threads);
// gate = silu(gate) * up.
HB_API int hb_gate(void* gate, const void* up, int64_t count, int64_t width, int type, int threads);
// Rotary position embedding of [count][heads][width]; cosines and sines are [count][width].
HB_API int hb_rotate(void* data, const void* cosines, const void* sines, int64_t count,
                     int64_t heads, int64_t width, int type, int threads);
// Runs the arithmetic of a path on registers alone, for a roofline; returns the operations done,
// 0 where no peak is known.
HB_API double hb_peak(int path, int64_t repeats);
// Sums of the integer weights of each chunk of 512 columns; writes [chunks][16 * blocks].
HB_API int hb_chunk_sums(const struct hb_weight* weight, int32_t* sums);

#ifdef __cplusplus
}
#endif
#endif  // HBVLA_CPU_H_
