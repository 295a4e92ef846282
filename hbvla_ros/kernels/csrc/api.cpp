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

// The exported functions: check every argument, cut the work into tasks, run them.

#include <cstring>

#include "internal.h"

namespace hb {
namespace {

constexpr int64_t kMostColumns = 1 << 20;

bool good(const Widths& widths) {
  return fits(widths.plain, kMostColumns) && fits(widths.salient, kMostColumns) &&
         widths.plain % kGroup == 0 && widths.salient % kGroup == 0 && widths.all() > 0;
}

bool aligned(const void* pointer, uintptr_t unit) {
  return reinterpret_cast<uintptr_t>(pointer) % unit == 0;
}

bool runs(int path) { return path >= 0 && path < HB_PATHS && (available_paths() >> path & 1); }

bool tiled(Format format) { return format == A16 || format == A16_SPLIT || format == A8; }

int check_columns(const hb_columns& columns) {
  if (!columns.sources) return HB_NULL;
  if (!good({columns.plain_width, columns.salient_width}) ||
      !fits(columns.in_features, kMostColumns))
    return HB_SHAPE;
  if (!fits(columns.plain_transform + 1, 8) || !fits(columns.salient_transform + 1, 8))
    return HB_SHAPE;
  for (int64_t i = 0; i < columns.plain_width + columns.salient_width; ++i)
    if (columns.sources[i] < -1 || columns.sources[i] >= columns.in_features) return HB_SHAPE;
  return HB_OK;
}

int check_norm(const hb_norm& norm, int type) {
  if (!norm.weight) return HB_NULL;
  const uintptr_t unit = type == HB_FLOAT32 ? 4 : 2;
  return aligned(norm.weight, unit) && aligned(norm.add, unit) ? HB_OK : HB_ALIGNMENT;
}

int check_weight(const hb_weight& weight) {
  if (!weight.bits || !weight.levels || !weight.row_scale) return HB_NULL;
  if (!good({weight.plain_width, weight.salient_width}) || !fits(weight.out_features, kLargest) ||
      weight.out_features == 0)
    return HB_SHAPE;
  return aligned(weight.bits, 8) && aligned(weight.row_scale, 4) && aligned(weight.sums, 4)
             ? HB_OK : HB_ALIGNMENT;
}

int check_output(const hb_output& output, int64_t out_features) {
  if (!output.data) return HB_NULL;
  if (output.type != HB_FLOAT32 && output.type != HB_BFLOAT16) return HB_SHAPE;
  if (output.stride < out_features || !fits(output.accumulate, 1)) return HB_SHAPE;
  return aligned(output.data, output.type == HB_FLOAT32 ? 4 : 2) && aligned(output.bias, 4)
             ? HB_OK : HB_ALIGNMENT;
}

Task prepare_task(int path) {
  switch (path) {
#if defined(__x86_64__)
    case HB_AMX_BF16:
    case HB_AMX_SPLIT:
    case HB_AMX_INT8: return prepare_tiles;
    case HB_AVX512:
    case HB_LUT:
    case HB_VNNI: return prepare_rows_avx512;
    case HB_AVX2:
    case HB_AVX2_INT8: return prepare_rows_avx2;
#endif
    default: return prepare_rows_portable;
  }
}

struct Plan {
  Task task;
  int64_t blocks;  // of 16 rows of weights in one task
};

Plan plan(int path, int64_t rows, int64_t blocks, int threads) {
  (void)rows, (void)blocks, (void)threads;  // not every processor has a path that needs them
  switch (path) {
#if defined(__x86_64__)
    case HB_AMX_BF16:
    case HB_AMX_SPLIT:
    case HB_AMX_INT8: return {multiply_amx, amx_strip(blocks, threads)};
    case HB_AVX512: return {multiply_avx512, 1};
    case HB_LUT: return {multiply_lut, kLutBlocks};
    case HB_VNNI: return {multiply_vnni, rows <= kVnniFew ? kVnniFewBlocks : 2};
    case HB_AVX2: return {multiply_avx2, 1};
    case HB_AVX2_INT8: return {multiply_avx2_int8, 1};
#elif defined(__aarch64__)
    case HB_NEON: return {multiply_neon, 1};
#endif
    case HB_PORTABLE_INT8: return {multiply_portable_int8, 1};
    default: return {multiply_portable, 1};
  }
}

int64_t row_bytes(Format format, const Widths& widths) {
  switch (format) {
    case F32: return (widths.all() + kPad32) * 4;
    case A16: return widths.all() * 2;
    case A16_SPLIT: return widths.all() * 6;
    case A8: return widths.all();
    case R16: return (widths.all() + kPad16) * 2;
    default: return widths.all() + kPad8;
  }
}

}  // namespace
}  // namespace hb

using hb::Widths;

const char* hb_sources(void) { return HB_SOURCES; }

int64_t hb_paths(void) { return hb::available_paths(); }

int64_t hb_prepared_bytes(int path, int64_t rows, int64_t plain_width, int64_t salient_width) {
  const Widths widths{plain_width, salient_width};
  if (!hb::runs(path) || !hb::good(widths) || !hb::fits(rows, hb::kLargest)) return -1;
  const hb::Format format = hb::format_of(path);
  return hb::payload(format, rows, widths) + hb::padded_rows(rows) * hb::row_bytes(format, widths);
}

int hb_prepare(int path, const hb_columns* columns, void* rows, int64_t count, int64_t stride,
               int type, const hb_norm* norm, void* prepared, int threads) {
  if (!columns || !prepared || (!rows && count > 0)) return HB_NULL;
  if (!hb::runs(path)) return HB_PATH;
  if (const int status = hb::check_columns(*columns)) return status;
  if (type != HB_FLOAT32 && type != HB_BFLOAT16) return HB_SHAPE;
  if (!hb::fits(count, hb::kLargest) || (count > 1 && stride < columns->in_features)) return HB_SHAPE;
  if (!hb::aligned(prepared, 64) || !hb::aligned(rows, type == HB_FLOAT32 ? 4 : 2))
    return HB_ALIGNMENT;
  if (norm) {
    if (const int status = hb::check_norm(*norm, type)) return status;
    if (count > 1 && stride != columns->in_features) return HB_SHAPE;
  }
  const hb::Format format = hb::format_of(path);
  hb::Prepare job{columns, {columns->plain_width, columns->salient_width}, format,
                  static_cast<char*>(rows), count, stride, type, norm,
                  static_cast<char*>(prepared), 0};
  const int64_t each = hb::tiled(format) ? hb::kRows : hb::kRowsPerTask;
  const int64_t all = hb::tiled(format) ? hb::padded_rows(count) : count;
  hb::parallel(static_cast<int>((all + each - 1) / each), threads, hb::prepare_task(path), &job);
  return job.failed ? HB_MEMORY : HB_OK;
}

int hb_multiply(int path, const hb_weight* weight, const void* prepared, int64_t count,
                const hb_output* output, int threads) {
  if (!weight || !prepared || !output) return HB_NULL;
  if (!hb::runs(path)) return HB_PATH;
  if (const int status = hb::check_weight(*weight)) return status;
  if (path == HB_VNNI && !weight->sums) return HB_NULL;
  if (!hb::fits(count, hb::kLargest)) return HB_SHAPE;
  if (count == 0) return HB_OK;
  if (const int status = hb::check_output(*output, weight->out_features)) return status;
  if (!hb::aligned(prepared, 64)) return HB_ALIGNMENT;
  const int64_t blocks = hb::up(weight->out_features, hb::kRows) / hb::kRows;
  const hb::Plan plan = hb::plan(path, count, blocks, threads);
  hb::Multiply job{weight, {weight->plain_width, weight->salient_width},
                   static_cast<const char*>(prepared), count, *output, path, plan.blocks, 0};
  const int64_t tasks = (blocks + plan.blocks - 1) / plan.blocks;
  hb::parallel(static_cast<int>(tasks), threads, plan.task, &job);
  return job.failed ? HB_MEMORY : HB_OK;
}

double hb_peak(int path, int64_t repeats) {
  if (!hb::runs(path)) return 0;
  switch (path) {
#if defined(__x86_64__)
    case HB_AMX_BF16:
    case HB_AMX_SPLIT:
    case HB_AMX_INT8: return hb::peak_amx(path, repeats);
    case HB_VNNI: return hb::peak_vnni(repeats);
    case HB_AVX512: return hb::peak_avx512(repeats);
    case HB_AVX2: return hb::peak_avx2(repeats);
#endif
    default: return 0;
  }
}

int hb_chunk_sums(const hb_weight* weight, int32_t* sums) {
  if (!weight || !sums) return HB_NULL;
  if (const int status = hb::check_weight(*weight)) return status;
  const Widths widths{weight->plain_width, weight->salient_width};
  const int64_t blocks = hb::up(weight->out_features, hb::kRows) / hb::kRows;
  memset(sums, 0, widths.chunks() * blocks * hb::kRows * 4);
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t c = 0; c < widths.chunks(); ++c) {
      const hb::Chunk chunk = hb::chunk_at(widths, c);
      int32_t* out = sums + (c * blocks + block) * hb::kRows;
      for (int64_t k = chunk.first; k < chunk.last; k += 4) {
        const int64_t place = block * widths.all() + k;
        const uint64_t word = weight->bits[place / 4];
        const int8_t* levels = weight->levels + place / hb::kGroup * 32;
        for (int j = 0; j < hb::kRows; ++j) {
          const int set = __builtin_popcountll(word >> (4 * j) & 15);
          out[j] += set * levels[16 + j] + (4 - set) * levels[j];
        }
      }
    }
  return HB_OK;
}
