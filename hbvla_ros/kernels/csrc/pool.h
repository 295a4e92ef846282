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

// Threads that stay, and scratch memory that belongs to each.

#ifndef POOL_H_
#define POOL_H_

#include <cstddef>

namespace hb {

// Runs task(context, 0 .. tasks - 1), each once, on at most `threads` threads, the caller's among
// them. A second caller at the same time runs alone. Which thread runs a task must not matter.
void parallel(int tasks, int threads, void (*task)(void*, int), void* context);

// Grow-only memory of this thread, 64-byte aligned; null when there is none. Slots keep apart
// what one task needs at the same time.
enum Slot { PANEL, SUMS, COLUMNS, ROWS, PARTIAL, NORMED, SLOTS };
void* scratch(Slot slot, size_t bytes);

}  // namespace hb
#endif  // POOL_H_
