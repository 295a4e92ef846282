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

// Signs and levels of one block of 16 rows of weights, unpacked into tiles.

namespace hb {
namespace {

inline __m512i spread(const int8_t* levels) {
  const __m512i wide =
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)));
  return _mm512_mullo_epi32(wide, _mm512_set1_epi32(0x01010101));
}

inline __m512i twice(const int8_t* levels) {
  const __m512i wide = _mm512_castps_si512(_mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)))));
  return _mm512_or_si512(wide, _mm512_srli_epi32(wide, 16));
}

// int8 levels are exact in bf16.
void unpack_halves(const uint64_t* bits, const int8_t* levels, int64_t columns, char* out) {
  for (int64_t g = 0; g < columns / kGroup; ++g) {
    const __m512i lo = twice(levels + g * 32), hi = twice(levels + g * 32 + 16);
    for (int64_t q = 32 * g; q < 32 * g + 32; ++q, out += 128) {
      const __mmask32 first = static_cast<__mmask32>(_pext_u64(bits[q], 0x3333333333333333ull));
      const __mmask32 second = static_cast<__mmask32>(_pext_u64(bits[q], 0xccccccccccccccccull));
      _mm512_store_si512(out, _mm512_mask_blend_epi16(first, lo, hi));
      _mm512_store_si512(out + 64, _mm512_mask_blend_epi16(second, lo, hi));
    }
  }
}

void unpack_bytes(const uint64_t* bits, const int8_t* levels, int64_t columns, char* out) {
  for (int64_t g = 0; g < columns / kGroup; ++g) {
    const __m512i lo = spread(levels + g * 32), hi = spread(levels + g * 32 + 16);
    for (int64_t q = 32 * g; q < 32 * g + 32; ++q, out += 64)
      _mm512_store_si512(out, _mm512_mask_blend_epi8(bits[q], lo, hi));
  }
}

}  // namespace
}  // namespace hb
