#include "comm/threads/job.h"

#include <thread>

#include "comm/communicator.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace megalith {

void Doorbell::ring() {
  {
    const std::lock_guard lock(mutex_);
    rings_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
}

bool Doorbell::rings_soon(std::uint32_t seen, int looks) const {
  for (int look = 0; look < looks; ++look) {
    if (rings() != seen) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  return false;
}

void Doorbell::wait(std::uint32_t seen) {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return rings() != seen; });
}

Job::Job(int size)
    : size_(size),
      spins_(size <= usable_processors() ? 4000 : 0),
      bells_(std::make_unique<Doorbell[]>(static_cast<std::size_t>(size))),
      left_(std::make_unique<std::atomic<bool>[]>(static_cast<std::size_t>(size))),
      sleepers_(static_cast<std::size_t>(size), nullptr) {}

void Job::fail(int rank, const std::string& what) {
  {
    const std::lock_guard lock(mutex_);
    if (failed_rank_ >= 0 && (failed_rank_ != rank || !what_.empty())) return;
    failed_rank_ = rank;
    what_ = what;
  }
  said_.notify_all();
  failed_.store(true);
  wake_all();
}

void Job::abandon(int rank) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (failed_rank_ < 0) failed_rank_ = rank;
  }
  failed_.store(true);
  wake_all();
  wait_for_copies();
}

void Job::leave(int rank) {
  bool unsaid = false;
  {
    const std::lock_guard lock(mutex_);
    unsaid = failed_rank_ == rank && what_.empty();
  }
  if (unsaid) fail(rank, fmt::format("rank {} ended with operations under way", rank));
  left_[static_cast<std::size_t>(rank)].store(true, std::memory_order_release);
  wake_all();
}

void Job::sleep(int rank, std::uint32_t seen, AwaitedOperation& awaited) {
  AwaitedOperation*& place = sleepers_[static_cast<std::size_t>(rank)];
  {
    const std::lock_guard lock(sleepers_mutex_);
    place = &awaited;
    look_for_standstill();
  }
  bell(rank).wait(seen);
  const std::lock_guard lock(sleepers_mutex_);
  place = nullptr;
}

// Who stands in the list posts nothing until it has taken itself off, for which it needs the mutex.
void Job::look_for_standstill() {
  for (int rank = 0; rank < size_; ++rank) {
    AwaitedOperation* const awaited = sleepers_[static_cast<std::size_t>(rank)];
    if (awaited == nullptr ? !has_left(rank) : awaited->can_end()) return;
  }
  int first = -1;
  std::string waits;
  for (int rank = 0; rank < size_; ++rank) {
    AwaitedOperation* const awaited = sleepers_[static_cast<std::size_t>(rank)];
    if (awaited == nullptr) continue;
    if (first < 0) first = rank;
    waits += (waits.empty() ? "" : "; ") + awaited->describe();
  }
  if (first >= 0) fail(first, "all ranks wait for each other: " + waits);
}

void Job::wake_all() {
  for (int rank = 0; rank < size_; ++rank) bell(rank).ring();
}

int Job::failed_rank() {
  const std::lock_guard lock(mutex_);
  return failed_rank_;
}

void Job::throw_failure(int rank) {
  wait_for_copies();
  std::unique_lock lock(mutex_);
  if (rank == failed_rank_ && what_.empty()) throw PeerFailed(fmt::format("rank {} left this before", rank));
  // Its exception is on the way to where it is caught: that takes as long as its memory takes to go.
  said_.wait(lock, [&] { return !what_.empty(); });
  throw PeerFailed(what_);
}

bool Job::begin_copy() {
  // Either this add is seen by who waits for copies, or the failure is seen here.
  copying_.fetch_add(1);
  if (!failed_.load()) return true;
  copying_.fetch_sub(1);
  return false;
}

void Job::wait_for_copies() const {
  while (copying_.load() != 0) std::this_thread::yield();
}

}  // namespace megalith
