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

// What the instruction sets share: sizes, formats of prepared activations, and their functions.

#ifndef INTERNAL_H_
#define INTERNAL_H_

#include <cstddef>
#include <cstdint>

#include "hbvla_cpu.h"
#include "pool.h"

namespace hb {

constexpr int64_t kGroup = 128, kBlock = 256, kChunk = 512, kRows = 16, kTiles = 32;
constexpr int64_t kPad8 = 64;   // a row stride of whole pages would alias in the first cache
constexpr int64_t kPad16 = 32, kPad32 = 16;
// A smaller maximum counts as zero: 127 / maximum would overflow.
constexpr float kTiny = 1e-30f;

// F32: float rows [rows][virtual + 16]. A16: bf16 tiles [rows / 16][virtual / 32][16][32], one or
// three planes one after the other. A8: scales and int8 tiles [rows / 16][virtual / 64][16][64].
// R8: scales and rows [rows][virtual + 64] of int8, U8 the same plus 128,
// R16 the int8 values as int16 with a row stride of virtual + 32.
enum Format { F32, A16, A16_SPLIT, A8, R8, U8, R16 };
Format format_of(int path);

// A size so small that no product of two overflows.
constexpr int64_t kLargest = 1 << 24;
inline bool fits(int64_t value, int64_t most) { return value >= 0 && value <= most; }

inline int64_t up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

struct Widths {
  int64_t plain, salient;
  int64_t all() const { return plain + 2 * salient; }
  int64_t chunks() const {
    return (plain + kChunk - 1) / kChunk + (2 * salient + kChunk - 1) / kChunk;
  }
};

// Consecutive virtual columns of one segment, at most kChunk of them.
struct Chunk {
  int64_t first, last;
  int segment;
  bool opens, closes;  // first, last of its segment
};

inline int64_t segments(const Widths& widths) { return (widths.plain > 0) + (widths.salient > 0); }

inline Chunk chunk_at(const Widths& widths, int64_t number) {
  const int64_t plain = (widths.plain + kChunk - 1) / kChunk;
  const bool salient = number >= plain;
  const int64_t begin = salient ? widths.plain : 0;
  const int64_t end = salient ? widths.all() : widths.plain;
  const int64_t first = begin + (salient ? number - plain : number) * kChunk;
  const int64_t last = least(first + kChunk, end);
  return {first, last, salient && widths.plain ? 1 : 0, first == begin, last == end};
}

// Offset of the payload behind the scales, and the number of rows that it holds.
inline int64_t padded_rows(int64_t rows) { return up(rows, kTiles); }
inline int64_t payload(Format format, int64_t rows, const Widths& widths) {
  const bool scaled = format == A8 || format == R8 || format == U8 || format == R16;
  return scaled ? up(widths.chunks() * padded_rows(rows) * 4, 64) : 0;
}

struct Prepare {
  const hb_columns* columns;
  Widths widths;
  Format format;
  char* rows;
  int64_t count, stride;
  int type;
  const hb_norm* norm;
  char* out;
  int failed;  // set by any task that found no memory
};

struct Multiply {
  const hb_weight* weight;
  Widths widths;
  const char* prepared;
  int64_t count;
  hb_output output;
  int path;
  int64_t strip;  // blocks of 16 rows of weights in one task, where that varies
  int failed;
};

// Blocks of 16 rows of weights in one task where rows of activations are few, and how many are few.
constexpr int64_t kRowsPerTask = 8;
constexpr int64_t kLutBlocks = 32, kVnniFewBlocks = 16, kVnniFew = 8;

// Each runs one task of the pool; how many there are says the function beside it.
using Task = void (*)(void*, int);
void prepare_rows_portable(void* prepare, int task);
void multiply_portable(void* multiply, int task);
void multiply_portable_int8(void* multiply, int task);
#if defined(__x86_64__)
void prepare_rows_avx2(void* prepare, int task);
void prepare_rows_avx512(void* prepare, int task);
void prepare_tiles(void* prepare, int task);
void multiply_avx2(void* multiply, int task);
void multiply_avx2_int8(void* multiply, int task);
void multiply_avx512(void* multiply, int task);
void multiply_lut(void* multiply, int task);
void multiply_vnni(void* multiply, int task);
void multiply_amx(void* multiply, int task);
double peak_amx(int path, int64_t repeats);
double peak_vnni(int64_t repeats);
double peak_avx512(int64_t repeats);
double peak_avx2(int64_t repeats);
int64_t amx_strip(int64_t blocks, int threads);
#elif defined(__aarch64__)
void multiply_neon(void* multiply, int task);
#endif

// Between products; a task is kRowsPerTask rows.
struct Normalize {
  char* data;
  const hb_norm* norm;
  char* out;
  int64_t count, width;
  int type;
};

struct Gate {
  void* gate;
  const void* up;
  int64_t count, width;
  int type;
};

struct Rotate {
  void* data;
  const void *cosines, *sines;
  int64_t count, heads, width;
  int type;
};

struct Pointwise {
  Task normalize, gate, rotate;
  void (*normalize_row)(const Normalize& job, int64_t row, char* out);
};

const Pointwise& pointwise();  // the fastest that runs here
const Pointwise& pointwise_portable();
#if defined(__x86_64__)
const Pointwise& pointwise_avx2();
const Pointwise& pointwise_avx512();
#endif

// Rows first .. first + count - 1 of activations as they enter a product; null without memory.
struct Rows {
  const char* data;
  int64_t stride, count;
};
Rows entering(const Prepare& job, int64_t first, int64_t count);

int64_t available_paths();

}  // namespace hb
#endif  // INTERNAL_H_
