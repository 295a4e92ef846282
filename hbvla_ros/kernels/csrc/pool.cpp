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

#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace hb {
namespace {

constexpr size_t kHuge = size_t{2} << 20;
constexpr int kSpins = 500;  // about 25 us before a worker sleeps
constexpr int kMost = 64;

struct Pool {
  std::mutex owner;  // held by the caller whose job the workers run
  std::mutex lock;
  std::condition_variable wake, done;
  std::atomic<unsigned> job{0};
  int wanted = 0, workers = 0;
  std::atomic<int> inside{0};
  void (*task)(void*, int) = nullptr;
  void* context = nullptr;
  int tasks = 0;
  std::atomic<int> next{0};
};

// Never destroyed: workers may still wait when the process exits.
std::atomic<Pool*> current{nullptr};

void drain(Pool* pool) {
  for (int i; (i = pool->next.fetch_add(1)) < pool->tasks;) pool->task(pool->context, i);
}

void work(Pool* pool, int number, unsigned seen) {
  for (;;) {
    for (int spin = 0; spin < kSpins && pool->job.load(std::memory_order_acquire) == seen; ++spin) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    {
      std::unique_lock<std::mutex> guard(pool->lock);
      pool->wake.wait(guard, [&] { return pool->job.load() != seen; });
      seen = pool->job.load();
      if (number >= pool->wanted) continue;
      pool->inside.fetch_add(1);
    }
    drain(pool);
    if (pool->inside.fetch_sub(1) == 1) {
      std::lock_guard<std::mutex> guard(pool->lock);
      pool->done.notify_one();
    }
  }
}

// A child of fork has no workers: it starts a pool of its own.
void forget() { current.store(nullptr); }

Pool* pool() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, forget); });
  Pool* found = current.load();
  if (found) return found;
  Pool* made = new (std::nothrow) Pool;
  if (made && !current.compare_exchange_strong(found, made)) {
    delete made;
    return found;
  }
  return made;
}

int allowed() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

void grow(Pool* pool, int workers) {
  for (; pool->workers < workers; ++pool->workers) {
    try {
      std::thread(work, pool, pool->workers, pool->job.load()).detach();
    } catch (const std::system_error&) {
      return;  // fewer threads do the same work
    }
  }
}

}  // namespace

void parallel(int tasks, int threads, void (*task)(void*, int), void* context) {
  int most = threads < tasks ? threads : tasks;
  most = most < kMost ? most : kMost;
  if (most > 1) {
    const int processors = allowed();
    most = most < processors ? most : processors;
  }
  Pool* shared = most > 1 ? pool() : nullptr;
  if (!shared || !shared->owner.try_lock()) {
    for (int i = 0; i < tasks; ++i) task(context, i);
    return;
  }
  {
    std::lock_guard<std::mutex> guard(shared->lock);
    grow(shared, most - 1);
    shared->task = task;
    shared->context = context;
    shared->tasks = tasks;
    shared->next.store(0);
    shared->wanted = most - 1;
    shared->job.fetch_add(1, std::memory_order_release);
  }
  shared->wake.notify_all();
  drain(shared);
  {
    std::unique_lock<std::mutex> guard(shared->lock);
    // A worker that has not started yet finds no task left, or is told so here.
    shared->wanted = 0;
    shared->done.wait(guard, [&] { return shared->inside.load() == 0; });
  }
  shared->owner.unlock();
}

namespace {
struct Memory {
  void* data[SLOTS] = {};
  size_t bytes[SLOTS] = {};
  ~Memory() {
    for (void* each : data) free(each);
  }
};
thread_local Memory memory;
}  // namespace

void* scratch(Slot slot, size_t bytes) {
  if (memory.bytes[slot] >= bytes) return memory.data[slot];
  free(memory.data[slot]);
  memory.bytes[slot] = 0;
  const size_t unit = bytes >= kHuge / 2 ? kHuge : 4096;
  const size_t size = (bytes + unit - 1) / unit * unit;
  memory.data[slot] = aligned_alloc(unit, size);
  if (!memory.data[slot]) return nullptr;
  if (unit == kHuge) madvise(memory.data[slot], size, MADV_HUGEPAGE);
  memory.bytes[slot] = size;
  return memory.data[slot];
}

}  // namespace hb
