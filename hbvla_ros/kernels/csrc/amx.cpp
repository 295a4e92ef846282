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

// Products on tile registers: bf16 (one plane, or three that add up to a float32) and int8.
//
// A task is a strip of weights. Its rows are unpacked once, as the first activations need them,
// into a panel that stays in the second cache; pairs of 16-row tiles of activations pass by, a
// stretch of columns that fits the first cache at a time. Sums wait in `sums`, in the order of the tiles, until a segment ends.

#include "internal.h"

#include <immintrin.h>

#include <cstring>

#include "amx_unpack.inl"
#include "store.inl"

namespace hb {
namespace {

constexpr int64_t kTile = 256;           // sums of one tile
constexpr int64_t kPanelBytes = 1 << 20; // unpacked weights of one strip
constexpr int64_t kStrip = 16;           // blocks of 16 rows of weights in one task
constexpr int64_t kMostRows = 640;       // rows of activations whose sums fit beside them

struct alignas(64) Config {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// The intrinsics of GCC do not tell the compiler what they read: without this it may leave out or
// move the stores before them.
inline void settle() { __asm__ volatile("" ::: "memory"); }

void configure() {
  Config config;
  for (int i = 0; i < 8; ++i) {
    config.bytes[i] = 64;
    config.rows[i] = 16;
  }
  __asm__ volatile("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
}

// What a stretch of columns needs: tiles of activations and weights, and where sums go.
struct Stretch {
  const char *a0, *a1;  // two tiles of 16 rows of activations
  int64_t plane;        // bytes between planes of activations
  const char *b0, *b1;  // two blocks of 16 rows of weights
  int64_t steps;
  float* sums;  // four tiles
  const char* ahead;  // activations of the next pair of tiles: 256 bytes are fetched each step
  bool opens;
};

template <bool TWO>
inline void clear() {
  _tile_zero(0);
  _tile_zero(1);
  if (!TWO) return;
  _tile_zero(2);
  _tile_zero(3);
}

template <bool TWO>
inline void load(const void* sums) {
  const char* from = static_cast<const char*>(sums);
  _tile_loadd(0, from, 64);
  _tile_loadd(1, from + 1024, 64);
  if (!TWO) return;
  _tile_loadd(2, from + 2048, 64);
  _tile_loadd(3, from + 3072, 64);
}

template <bool TWO>
inline void store(void* sums) {
  char* to = static_cast<char*>(sums);
  _tile_stored(0, to, 64);
  _tile_stored(1, to + 1024, 64);
  if (!TWO) return;
  _tile_stored(2, to + 2048, 64);
  _tile_stored(3, to + 3072, 64);
}

template <int PLANES, bool TWO>
inline void halves(const Stretch& s) {
  settle();
  if (s.opens) clear<TWO>();
  else load<TWO>(s.sums);
  for (int64_t at = 0; at < s.steps * 1024; at += 1024) {
    _tile_loadd(6, s.b0 + at, 64);
    _tile_loadd(7, s.b1 + at, 64);
#pragma GCC unroll 3
    for (int p = 0; p < PLANES; ++p) {
      _tile_loadd(4, s.a0 + p * s.plane + at, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if (!TWO) continue;
      _tile_loadd(5, s.a1 + p * s.plane + at, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  store<TWO>(s.sums);
}

inline __m512 number(const int32_t* products) {
  return _mm512_cvtepi32_ps(_mm512_load_si512(products));
}

// Integer sums of one chunk, scaled and added to the sums.
template <bool TWO>
inline void bytes(const Stretch& s, const float* scales, int32_t* products) {
  settle();
  clear<TWO>();
  for (int64_t at = 0; at < s.steps * 1024; at += 1024) {
    _tile_loadd(4, s.a0 + at, 64);
    _tile_loadd(6, s.b0 + at, 64);
    _tile_loadd(7, s.b1 + at, 64);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) _mm_prefetch(s.ahead + at / 4 + i * 64, _MM_HINT_T1);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    if (!TWO) continue;
    _tile_loadd(5, s.a1 + at, 64);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  store<TWO>(products);
  for (int t = 0; t < (TWO ? 4 : 2); ++t) {
    const float* by = scales + t / 2 * kRows;
    const int32_t* from = products + t * kTile;
    float* to = s.sums + t * kTile;
    if (s.opens) {
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        _mm512_store_ps(to + i * 16, _mm512_mul_ps(number(from + i * 16),
                                                   _mm512_set1_ps(by[i])));
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        _mm512_store_ps(to + i * 16, _mm512_fmadd_ps(number(from + i * 16), _mm512_set1_ps(by[i]),
                                                     _mm512_load_ps(to + i * 16)));
    }
  }
}

// Columns first .. last of one segment, unpacked at once.
struct Span {
  int64_t first, last, chunk;
  int segment;
  bool opens, closes;
};

struct Strip {
  Multiply& job;
  int64_t block, blocks;   // of 16 rows of weights
  int64_t row, rows;       // of activations
  float *sums, *partial;   // [pair of tiles][pair of blocks][4][256]; partial for two segments
  char* panel;
  int32_t* products;
  bool int8;
  int planes;
  const char* a;
  int64_t step, tile_columns, plane;  // bytes of 16 rows of activations; columns of a tile

  int64_t pairs() const { return (blocks + 1) / 2; }
  int64_t place(int64_t m, int64_t j) const {
    return ((m - row) / kTiles * pairs() + j) * 4 * kTile;
  }
  // Sums that no other span adds to are kept in the same, warm, place.
  int64_t offset(const Span& span, int64_t m, int64_t j) const {
    return span.opens && span.closes ? j * 4 * kTile : place(m, j);
  }
};

inline __mmask16 first_of(int64_t count) {
  return count >= kRows ? 0xffff : count > 0 ? static_cast<__mmask16>((1 << count) - 1) : 0;
}

// Unpacks columns first .. last of a pair of blocks to where the panel of the span has them.
void unpack(const Strip& s, const Span& span, int64_t j, int64_t first, int64_t last) {
  const Multiply& job = s.job;
  const int64_t panel = (span.last - span.first) / s.tile_columns * 1024;
  char* out = s.panel + (first - span.first) / s.tile_columns * 1024;
  for (int64_t b = 2 * j; b < least(2 * j + 2, s.blocks); ++b) {
    const int64_t place = (s.block + b) * job.widths.all() + first;
    const uint64_t* bits = job.weight->bits + place / 4;
    const int8_t* levels = job.weight->levels + place / kGroup * 32;
    (s.int8 ? unpack_bytes : unpack_halves)(bits, levels, last - first, out + b * panel);
  }
}

// The 32 values of bfloat16 at `to`, of which `mask` are there, plus those in `values`.
inline __m512i added(__m512i values, const uint16_t* to, __mmask32 mask) {
  const __m512i before = _mm512_maskz_loadu_epi16(mask, to);
  __m512 sum[2];
  for (int i = 0; i < 2; ++i) {
    const __m256i old = i ? _mm512_extracti64x4_epi64(before, 1) : _mm512_castsi512_si256(before);
    const __m256i now = i ? _mm512_extracti64x4_epi64(values, 1) : _mm512_castsi512_si256(values);
    sum[i] = _mm512_add_ps(
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(old), 16)),
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(now), 16)));
  }
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(sum[1], sum[0]));
}

// Scales the sums of a finished segment of one row of activations; adds them to those before, or
// writes the output. Row by row: rows of the output lie in pages of their own.
template <bool PLAIN>  // one segment, no bias, no ragged end
void finish_row(const Strip& s, const Span& span, int64_t m) {
  const Multiply& job = s.job;
  const hb_output& output = job.output;
  const float* scales = job.weight->row_scale + span.segment * job.weight->out_features;
  const bool last = PLAIN || span.segment + 1 == segments(job.widths);
  const int64_t within = (m - s.row) % kTiles;
  const int64_t tile = within / kRows * 2 * kTile + within % kRows * 16;
  for (int64_t j = 0; j < s.pairs(); ++j) {
    const int64_t column = (s.block + 2 * j) * kRows;
    const int64_t left = PLAIN ? kTiles : least(kTiles, job.weight->out_features - column);
    const float* sums = s.sums + s.offset(span, m, j) + tile;
    float* partial = s.partial ? s.partial + s.place(m, j) + tile : nullptr;
    __m512 value[2];
    for (int i = 0; i < 2; ++i) {
      const __mmask16 mask = PLAIN ? 0xffff : first_of(left - i * kRows);
      const __m512 scale = _mm512_maskz_loadu_ps(mask, scales + column + i * kRows);
      const __m512 sum = _mm512_load_ps(sums + i * kTile);
      const __m512 before = PLAIN || !span.segment ? _mm512_setzero_ps()
                                                   : _mm512_load_ps(partial + i * kTile);
      value[i] = _mm512_fmadd_ps(sum, scale, before);
      if (!last) _mm512_store_ps(partial + i * kTile, value[i]);
      else if (!PLAIN && output.bias)
        value[i] = _mm512_add_ps(value[i],
                                 _mm512_maskz_loadu_ps(mask, output.bias + column + i * kRows));
    }
    if (!last) continue;
    const int64_t to = m * output.stride + column;
    if (output.type == HB_BFLOAT16) {
      __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(value[1], value[0]));
      const auto mask = static_cast<__mmask32>((uint64_t{1} << left) - 1);
      uint16_t* data = static_cast<uint16_t*>(output.data) + to;
      if (output.accumulate) both = added(both, data, mask);
      _mm512_mask_storeu_epi16(data, mask, both);
    } else {
      float* data = static_cast<float*>(output.data) + to;
      for (int i = 0; output.accumulate && i < 2; ++i)
        value[i] = _mm512_add_ps(
            value[i], _mm512_maskz_loadu_ps(first_of(left - i * kRows), data + i * kRows));
      _mm512_mask_storeu_ps(data, first_of(left), value[0]);
      _mm512_mask_storeu_ps(data + kRows, first_of(left - kRows), value[1]);
    }
  }
}

void multiply_pair(const Strip& s, const Stretch& stretch, bool two, const float* scales) {
  if (s.int8)
    return two ? bytes<true>(stretch, scales, s.products)
               : bytes<false>(stretch, scales, s.products);
  if (s.planes == 1) return two ? halves<1, true>(stretch) : halves<1, false>(stretch);
  return two ? halves<3, true>(stretch) : halves<3, false>(stretch);
}

// One pair of tiles of activations against the panel of a span.
void pass(const Strip& s, const Span& span, int64_t m) {
  const Multiply& job = s.job;
  const bool two = m + kRows < job.count;
  const bool first = m == s.row;
  const int64_t length = s.int8 ? kChunk : s.planes == 1 ? kChunk / 2 : kChunk / 4;
  const int64_t panel = (span.last - span.first) / s.tile_columns * 1024;
  const char* a0 = s.a + m / kRows * s.step;
  const float* scales = reinterpret_cast<const float*>(job.prepared) + m;
  int64_t chunk = span.chunk;
  for (int64_t k = span.first; k < span.last; k += length, ++chunk) {
    const int64_t last = least(k + length, span.last);
    const char* a = a0 + k / s.tile_columns * 1024;
    const int64_t steps = (last - k) / s.tile_columns;
    for (int64_t j = 0; j < s.pairs(); ++j) {
      const char* b = s.panel + 2 * j * panel + (k - span.first) / s.tile_columns * 1024;
      if (first) unpack(s, span, j, k, last);
      const bool alone = 2 * j + 1 == s.blocks;  // its twin is computed twice and dropped
      multiply_pair(s, {a, a + s.step, s.plane, b, alone ? b : b + panel, steps,
                        s.sums + s.offset(span, m, j), a + (2 + j % 2) * s.step + j / 2 * 2048,
                        span.opens && k == span.first},
                    two, s.int8 ? scales + chunk * padded_rows(job.count) : nullptr);
    }
  }
  if (!span.closes) return;
  const bool plain = !s.partial && !job.output.bias &&
                     (s.block + 2 * s.pairs()) * kRows <= job.weight->out_features;
  for (int64_t row = m; row < least(m + kTiles, job.count); ++row)
    if (plain) finish_row<true>(s, span, row);
    else finish_row<false>(s, span, row);
}

void run(const Strip& s) {
  const Widths& widths = s.job.widths;
  const int64_t one = s.blocks * kRows * (s.int8 ? 1 : 2);
  const int64_t fitting = kPanelBytes / one / kChunk * kChunk;
  const int64_t most = fitting > kChunk ? fitting : kChunk;
  int64_t chunk = 0;
  for (int64_t first = 0; first < widths.all();) {
    const bool salient = first >= widths.plain;
    const int64_t begin = salient ? widths.plain : 0, end = salient ? widths.all() : widths.plain;
    const Span span{first, least(first + most, end), chunk, salient && widths.plain ? 1 : 0,
                    first == begin, least(first + most, end) == end};
    for (int64_t m = s.row; m < s.row + s.rows; m += kTiles) pass(s, span, m);
    chunk += (span.last - span.first + kChunk - 1) / kChunk;
    first = span.last;
  }
}

}  // namespace

int64_t amx_strip(int64_t blocks, int threads) {
  int64_t strip = kStrip;
  while (strip > 2 && (blocks + strip - 1) / strip < 2 * threads) strip /= 2;
  return strip;
}

void multiply_amx(void* context, int task) {
  Multiply& job = *static_cast<Multiply*>(context);
  const int64_t all = up(job.weight->out_features, kRows) / kRows, each = job.strip;
  const int64_t block = task * each, blocks = least(each, all - block);
  const bool int8 = job.path == HB_AMX_INT8, two = segments(job.widths) == 2;
  const int64_t rows = least(kMostRows, padded_rows(job.count));
  const int64_t size = rows / kTiles * ((blocks + 1) / 2) * 4 * kTile * 4;
  char* panel = static_cast<char*>(scratch(PANEL, kPanelBytes + kChunk * kRows * 2 * each));
  float* sums = static_cast<float*>(scratch(SUMS, size));
  float* partial = two ? static_cast<float*>(scratch(PARTIAL, size)) : nullptr;
  if (!panel || !sums || (two && !partial)) {
    job.failed = 1;
    return;
  }
  alignas(64) int32_t products[4 * kTile];
  const int64_t element = int8 ? 1 : 2;
  configure();
  for (int64_t row = 0; row < job.count; row += kMostRows)
    run({job, block, blocks, row, least(kMostRows, job.count - row), sums, partial, panel, products,
         int8, job.path == HB_AMX_SPLIT ? 3 : 1,
         job.prepared + payload(format_of(job.path), job.count, job.widths),
         kRows * job.widths.all() * element, int8 ? 64 : 32,
         padded_rows(job.count) * job.widths.all() * element});
  _tile_release();
}

double peak_amx(int path, int64_t repeats) {
  configure();
  for (int64_t i = 0; i < repeats; ++i) {
    if (path == HB_AMX_INT8) {
      _tile_dpbssd(0, 4, 6);
      _tile_dpbssd(1, 4, 7);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    } else {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_release();
  return static_cast<double>(repeats) * 4 * 2 * 16 * 16 * (path == HB_AMX_INT8 ? 64 : 32);
}

}  // namespace hb
