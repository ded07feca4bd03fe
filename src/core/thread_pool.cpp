#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/floating_point_mode.h"

namespace megalith {

// A loop is published by raising `generation`; workers spin briefly, then sleep on the condition variable.
// The last worker to leave a loop lowers `active` to zero, which is what the owner waits for.
struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> generation{0};
  std::atomic<int> active{0};
  std::atomic<std::int64_t> next_task{0};
  std::int64_t num_tasks = 0;
  FunctionRef<void(std::int64_t, int)>* body = nullptr;
  bool stop = false;

  void drain(int thread) {
    for (std::int64_t task; (task = next_task.fetch_add(1, std::memory_order_relaxed)) < num_tasks;) {
      (*body)(task, thread);
    }
  }

  void work(int thread) {
    set_floating_point_mode();
    std::uint64_t seen = 0;
    while (true) {
      wait_for_loop(seen);
      seen = generation.load(std::memory_order_acquire);
      if (stop) return;
      assert_floating_point_mode();
      drain(thread);
      active.fetch_sub(1, std::memory_order_release);
    }
  }

  void wait_for_loop(std::uint64_t seen) {
    constexpr int kSpins = 4000;  // some 10 microseconds: shorter than the gap between most loops of a step
    for (int spin = 0; spin < kSpins; ++spin) {
      if (generation.load(std::memory_order_acquire) != seen) return;
#if defined(__x86_64__)
      _mm_pause();
#endif
    }
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
  }

  void publish() {
    {
      const std::lock_guard lock(mutex);
      generation.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int num_threads) : state_(std::make_unique<State>()) {
  MEGALITH_CHECK(num_threads >= 1 && num_threads <= 1024, "{} threads", num_threads);
  set_floating_point_mode();
  for (int thread = 1; thread < num_threads; ++thread) {
    state_->workers.emplace_back([state = state_.get(), thread] { state->work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  state_->stop = true;
  state_->publish();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::num_threads() const {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::for_each(std::int64_t num_tasks, FunctionRef<void(std::int64_t, int)> body) {
  assert_floating_point_mode();
  if (state_->workers.empty() || num_tasks <= 1) {
    for (std::int64_t task = 0; task < num_tasks; ++task) body(task, 0);
    return;
  }
  state_->num_tasks = num_tasks;
  state_->body = &body;
  state_->next_task.store(0, std::memory_order_relaxed);
  state_->active.store(static_cast<int>(state_->workers.size()), std::memory_order_relaxed);
  state_->publish();
  state_->drain(0);
  for (int spin = 0; state_->active.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin > 2000) std::this_thread::yield();
#if defined(__x86_64__)
    _mm_pause();
#endif
  }
}

void ThreadPool::for_range(std::int64_t count, std::int64_t chunk,
                           FunctionRef<void(std::int64_t, std::int64_t, int)> body) {
  MEGALITH_CHECK(chunk > 0, "chunk {}", chunk);
  for_each((count + chunk - 1) / chunk, [&](std::int64_t task, int thread) {
    body(task * chunk, std::min(count, (task + 1) * chunk), thread);
  });
}

namespace {

// cgroup v2 "max 100000" or "150000 100000"; v1 keeps quota and period in two files. 0 when there is no
// limit.
double cgroup_quota() {
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file) {
    std::string quota;
    double period = 0;
    if (file >> quota >> period && quota != "max" && period > 0) return std::stod(quota) / period;
    return 0;
  }
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) return quota / period;
  return 0;
}

}  // namespace

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = sched_getaffinity(0, sizeof(set), &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(std::thread::hardware_concurrency());
  if (const double quota = cgroup_quota(); quota > 0)
    count = std::min(count, static_cast<int>(std::ceil(quota)));
  return std::max(count, 1);
}

}  // namespace megalith
