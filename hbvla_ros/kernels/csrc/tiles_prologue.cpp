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

// Prologue of the AMX paths: 16 rows of activations at a time, turned so that a column of 16 rows
// is one register. A permutation then moves whole registers, and the butterflies of the transform
// need no shuffles.
//
// The order of the floating point operations is that of rows.inl: both quantize alike.

#include "internal.h"

#include <immintrin.h>

#include <cmath>
#include <cstring>

namespace hb {
namespace {

constexpr int64_t kLane = 16;  // rows in a register

inline __m512 half_root() { return _mm512_set1_ps(0.70710678118654752440f); }

// 16 x 16 of 32 bits.
inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

// Sixteen rows turned into columns [in_features][16] of 32 bits, or pairs of bfloat16 columns
// [in_features / 2][16] whose low halves are the even ones.
struct Turned {
  const __m512i* lines;
  bool narrow;

  inline __m512 column(int32_t source) const {
    if (source < 0) return _mm512_setzero_ps();
    if (!narrow) return _mm512_castsi512_ps(_mm512_load_si512(lines + source));
    const __m512i pair = _mm512_load_si512(lines + source / 2);
    const __m512i shift = _mm512_set1_epi32((~source & 1) * 16);
    const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_sllv_epi32(pair, shift), high));
  }
};

Turned turn_rows(const Prepare& job, const Rows& rows, __m512i* lines) {
  const int64_t columns = job.columns->in_features;
  const bool narrow = job.type == HB_BFLOAT16;
  const int64_t step = narrow ? 32 : 16, bytes = narrow ? 2 : 4;
  __m512i r[16];
  for (int64_t c = 0; c < columns; c += step) {
    const int64_t left = least(step, columns - c);
    const __mmask32 pairs = static_cast<__mmask32>((uint64_t{1} << left) - 1);
    for (int64_t m = 0; m < kLane; ++m) {
      if (m >= rows.count) {
        r[m] = _mm512_setzero_si512();
        continue;
      }
      const char* at = rows.data + (m * rows.stride + c) * bytes;
      if (left == step) r[m] = _mm512_loadu_si512(at);
      else if (narrow) r[m] = _mm512_maskz_loadu_epi16(pairs, at);
      else r[m] = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(pairs), at);
    }
    transpose(r);
    __m512i* to = lines + c / (narrow ? 2 : 1);
    for (int64_t i = 0; i < kLane; ++i) _mm512_store_si512(to + i, r[i]);
  }
  return {lines, narrow};
}

// Gathers `length` columns to z, the first level of Haar on the way.
void gather(const Turned& turned, const int32_t* sources, int64_t length, bool haar, float* z) {
  if (!haar) {
    for (int64_t i = 0; i < length; ++i)
      _mm512_store_ps(z + i * kLane, turned.column(sources[i]));
    return;
  }
  const __m512 root = half_root();
  for (int64_t i = 0; i < length / 2; ++i) {
    const __m512 even = turned.column(sources[2 * i]), odd = turned.column(sources[2 * i + 1]);
    _mm512_store_ps(z + i * kLane, _mm512_mul_ps(_mm512_add_ps(even, odd), root));
    _mm512_store_ps(z + (i + length / 2) * kLane, _mm512_mul_ps(_mm512_sub_ps(even, odd), root));
  }
}

void haar_further(float* z, int64_t length, int levels) {
  alignas(64) float kept[kBlock / 4 * kLane];
  const __m512 root = half_root();
  for (int level = 1; level < levels; ++level) {
    length /= 2;
    const int64_t half = length / 2;
    for (int64_t i = 0; i < half; ++i) {
      const __m512 even = _mm512_load_ps(z + 2 * i * kLane);
      const __m512 odd = _mm512_load_ps(z + (2 * i + 1) * kLane);
      _mm512_store_ps(kept + i * kLane, _mm512_mul_ps(_mm512_sub_ps(even, odd), root));
      _mm512_store_ps(z + i * kLane, _mm512_mul_ps(_mm512_add_ps(even, odd), root));
    }
    memcpy(z + half * kLane, kept, half * kLane * 4);
  }
}

// The butterflies of N values in registers.
template <int N>
inline void butterflies(__m512 (&v)[16]) {
#pragma GCC unroll 4
  for (int half = 1; half < N; half *= 2)
#pragma GCC unroll 8
    for (int at = 0; at < N; at += 2 * half)
#pragma GCC unroll 8
      for (int i = at; i < at + half; ++i) {
        const __m512 sum = _mm512_add_ps(v[i], v[i + half]);
        v[i + half] = _mm512_sub_ps(v[i], v[i + half]);
        v[i] = sum;
      }
}

// Gathers 16 N columns to z: butterflies among neighbours on the way, then among those 16 apart.
template <int N>
void hadamard(const Turned& turned, const int32_t* sources, float* z) {
  __m512 v[16];
  for (int64_t at = 0; at < 16 * N; at += 16) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) v[i] = turned.column(sources[at + i]);
    butterflies<16>(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_store_ps(z + (at + i) * kLane, v[i]);
  }
  const __m512 scale = _mm512_set1_ps(static_cast<float>(1.0 / std::sqrt(16.0 * N)));
  for (int64_t at = 0; at < 16; ++at) {
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) v[i] = _mm512_load_ps(z + (at + 16 * i) * kLane);
    butterflies<N>(v);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i)
      _mm512_store_ps(z + (at + 16 * i) * kLane, _mm512_mul_ps(v[i], scale));
  }
}

// Transformed columns from .. from + width - 1 to z; from is the start of a block.
void transform(const Prepare& job, const Turned& turned, int64_t from, int64_t width, int kind,
               float* z) {
  for (int64_t at = 0; at < width; at += kBlock, z += kBlock * kLane) {
    const int64_t length = least(kBlock, width - at);
    const int32_t* sources = job.columns->sources + from + at;
    if (kind < 0) {
      (length == kBlock ? hadamard<16> : hadamard<8>)(turned, sources, z);
      continue;
    }
    gather(turned, sources, length, kind > 0, z);
    if (kind > 1) haar_further(z, length, kind);
  }
}

struct Piece {  // consecutive virtual columns of one chunk, 16 rows of activations
  const Prepare& job;
  int64_t row, first, count;
  const float* z;     // [period][16]
  int64_t at, period; // column i of the piece is z[(at + i) % period]
  const float* column(int64_t i) const {
    const int64_t place = at + i;
    return z + (place < period ? place : place - period) * kLane;
  }
};

void write_bytes(const Piece& piece, int64_t number) {
  const Prepare& job = piece.job;
  __m512 largest = _mm512_setzero_ps(), wrong = _mm512_setzero_ps();
  for (int64_t i = 0; i < piece.count; ++i) {
    const __m512 value = _mm512_load_ps(piece.column(i));
    largest = _mm512_max_ps(largest, _mm512_abs_ps(value));
    wrong = _mm512_fmadd_ps(value, _mm512_setzero_ps(), wrong);
  }
  const __mmask16 usable =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(kTiny), _CMP_GE_OQ) &
      _mm512_cmp_ps_mask(wrong, _mm512_setzero_ps(), _CMP_EQ_OQ);
  const __m512 inverse = _mm512_maskz_div_ps(usable, _mm512_set1_ps(127.0f), largest);
  const __m512 scale = _mm512_mask_div_ps(wrong, usable, largest, _mm512_set1_ps(127.0f));
  float* scales = reinterpret_cast<float*>(job.out) + number * padded_rows(job.count);
  _mm512_storeu_ps(scales + piece.row, scale);
  char* tile = job.out + payload(A8, job.count, job.widths) + piece.row * job.widths.all() +
               piece.first * kLane;
  const __m512i order = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  for (int64_t i = 0; i < piece.count; i += 64, tile += 1024) {
    __m512i r[16];
    const float* from = piece.column(i);  // 64 columns never straddle the period
    for (int q = 0; q < 16; ++q) {
      __m512i v[4];
      for (int k = 0; k < 4; ++k) {
        const __m512 value = _mm512_load_ps(from + (4 * q + k) * kLane);
        v[k] = _mm512_maskz_cvtps_epi32(usable, _mm512_mul_ps(value, inverse));
      }
      const __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]),
                                               _mm512_packs_epi32(v[2], v[3]));
      r[q] = _mm512_shuffle_epi8(bytes, order);
    }
    transpose(r);
    for (int m = 0; m < 16; ++m) _mm512_store_si512(tile + m * 64, r[m]);
  }
}

// Rounded to bf16, to even; what is no number stays none.
inline __m512i rounded(__m512 even, __m512 odd) {
  const __m512i low = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, low);
}

// The top 16 bits of both, and what is left of them.
inline __m512i cut(__m512& even, __m512& odd) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  const __m512i e = _mm512_and_si512(_mm512_castps_si512(even), high);
  const __m512i o = _mm512_and_si512(_mm512_castps_si512(odd), high);
  even = _mm512_sub_ps(even, _mm512_castsi512_ps(e));
  odd = _mm512_sub_ps(odd, _mm512_castsi512_ps(o));
  return _mm512_or_si512(_mm512_srli_epi32(e, 16), o);
}

// Planes of bf16 tiles: one is the rounded value, three add up to the float32 exactly.
template <int PLANES>
void write_halves(const Piece& piece) {
  const Prepare& job = piece.job;
  const int64_t plane = padded_rows(job.count) * job.widths.all() * 2;
  char* tile = job.out + (piece.row * job.widths.all() + piece.first * kLane) * 2;
  for (int64_t i = 0; i < piece.count; i += 32, tile += 1024) {
    __m512i r[PLANES][16];
    const float* from = piece.column(i);
    for (int pair = 0; pair < 16; ++pair) {
      __m512 even = _mm512_load_ps(from + 2 * pair * kLane);
      __m512 odd = _mm512_load_ps(from + (2 * pair + 1) * kLane);
      if (PLANES == 1) r[0][pair] = rounded(even, odd);
      else
        for (int p = 0; p < PLANES; ++p) r[p][pair] = cut(even, odd);
    }
    for (int p = 0; p < PLANES; ++p) {
      transpose(r[p]);
      for (int m = 0; m < 16; ++m) _mm512_store_si512(tile + p * plane + m * 64, r[p][m]);
    }
  }
}

void write(const Piece& piece, int64_t number) {
  switch (piece.job.format) {
    case A8: return write_bytes(piece, number);
    case A16: return write_halves<1>(piece);
    default: return write_halves<3>(piece);
  }
}

}  // namespace

// One task: 16 rows.
void prepare_tiles(void* context, int task) {
  Prepare& job = *static_cast<Prepare*>(context);
  const Widths& widths = job.widths;
  const int64_t room = widths.salient > kChunk ? widths.salient : kChunk;
  auto* place = static_cast<__m512i*>(
      scratch(COLUMNS, up(job.columns->in_features + 1, 32) * sizeof(__m512i)));
  float* z = static_cast<float*>(scratch(PANEL, room * kLane * 4));
  const int64_t row = task * kLane;
  const int64_t left = least(kLane, job.count - row);  // none where tiles only pad
  const Rows rows = entering(job, row, left < 0 ? 0 : left);
  if (!place || !z || (left > 0 && !rows.data)) {
    job.failed = 1;
    return;
  }
  const Turned turned = turn_rows(job, rows, place);
  for (int64_t c = 0; c < widths.chunks(); ++c) {
    const Chunk chunk = chunk_at(widths, c);
    const int64_t count = chunk.last - chunk.first;
    if (chunk.first < widths.plain) {
      transform(job, turned, chunk.first, count, job.columns->plain_transform, z);
      write({job, row, chunk.first, count, z, 0, room}, c);
      continue;
    }
    if (chunk.opens)
      transform(job, turned, widths.plain, widths.salient, job.columns->salient_transform, z);
    const int64_t at = (chunk.first - widths.plain) % widths.salient;
    write({job, row, chunk.first, count, z, at, widths.salient}, c);
  }
}

}  // namespace hb
