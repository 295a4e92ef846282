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

// Which paths this processor and this operating system run.

#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace hb {
namespace {

constexpr int64_t bit(int path) { return int64_t{1} << path; }

#if defined(__x86_64__)

// Tile registers must be asked for before their first use; a refusal means there is no AMX.
bool amx() {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  constexpr unsigned kNeeded = 1u << 22 | 1u << 24 | 1u << 25;  // bf16, tile, int8
  constexpr int kRequest = 0x1023, kTileData = 18;              // ARCH_REQ_XCOMP_PERM
  return (edx & kNeeded) == kNeeded && syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

int64_t find() {
  __builtin_cpu_init();
  int64_t found = bit(HB_PORTABLE) | bit(HB_PORTABLE_INT8);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2"))
    found |= bit(HB_AVX2) | bit(HB_AVX2_INT8);
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
  if (!wide) return found;
  found |= bit(HB_AVX512);
  if (__builtin_cpu_supports("avx512vbmi")) found |= bit(HB_LUT);
  if (!__builtin_cpu_supports("avx512vnni")) return found;
  found |= bit(HB_VNNI);
  if (__builtin_cpu_supports("avx512bf16") && amx())
    found |= bit(HB_AMX_BF16) | bit(HB_AMX_SPLIT) | bit(HB_AMX_INT8);
  return found;
}

#else

int64_t find() {
  int64_t found = bit(HB_PORTABLE) | bit(HB_PORTABLE_INT8);
#if defined(__aarch64__)
  constexpr unsigned long kDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  if (getauxval(AT_HWCAP) & kDotProduct) found |= bit(HB_NEON);
#endif
  return found;
}

#endif

}  // namespace

int64_t available_paths() {
  static const int64_t found = find();
  return found;
}

Format format_of(int path) {
  switch (path) {
    case HB_AMX_BF16: return A16;
    case HB_AMX_SPLIT: return A16_SPLIT;
    case HB_AMX_INT8: return A8;
    case HB_VNNI: return U8;
    case HB_AVX2_INT8: return R16;
    case HB_PORTABLE_INT8:
    case HB_NEON: return R8;
    default: return F32;
  }
}

}  // namespace hb
