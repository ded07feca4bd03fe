// Job: what all ranks of one run_ranks share, whatever group they talk in: who is alive, and how to wake
// them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace megalith {

// One rank sleeps at it, others ring. A ring between `rings()` and `wait()` is not lost.
class Doorbell {
 public:
  [[nodiscard]] std::uint32_t rings() const { return rings_.load(std::memory_order_acquire); }
  void ring();
  // Whether rings() is no longer `seen` within so many looks.
  [[nodiscard]] bool rings_soon(std::uint32_t seen, int looks) const;
  // Returns when rings() is no longer `seen`.
  void wait(std::uint32_t seen);

 private:
  std::atomic<std::uint32_t> rings_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// An operation that a rank has posted and cannot go on without.
class AwaitedOperation {
 public:
  virtual ~AwaitedOperation() = default;
  // Every rank that it concerns has posted it.
  [[nodiscard]] virtual bool can_end() = 0;
  // "rank 2 for rank 3 (send, pipeline)": who has not.
  [[nodiscard]] virtual std::string describe() = 0;
};

class Job {
 public:
  explicit Job(int size);

  [[nodiscard]] int size() const { return size_; }
  Doorbell& bell(int rank) { return bells_[static_cast<std::size_t>(rank)]; }
  // Looks worth taking before sleeping; none where ranks share processors.
  [[nodiscard]] int spins() const { return spins_; }

  // The first rank that fails decides what is said. Everybody who waits is woken.
  void fail(int rank, const std::string& what);
  // The rank fails, and why will be said by its fail() or leave(). Returns when nobody touches its buffers.
  void abandon(int rank) noexcept;
  // The rank will post nothing more.
  void leave(int rank);
  [[nodiscard]] bool has_left(int rank) const {
    return left_[static_cast<std::size_t>(rank)].load(std::memory_order_acquire);
  }
  [[nodiscard]] bool failed() const { return failed_.load(); }
  // The rank that failed first; -1 when none did.
  [[nodiscard]] int failed_rank();
  // Throws PeerFailed, after the last copy that might use the buffers of `rank`, the caller, has ended.
  [[noreturn]] void throw_failure(int rank);

  // Sleeps at the rank's bell until it was rung after `seen`. When every rank sleeps or has left, and no
  // operation that any of them waits for can end, then they would sleep for ever: the job fails, and what it
  // says names them all.
  void sleep(int rank, std::uint32_t seen, AwaitedOperation& awaited);

  // Around every piece of copying: false when the job has failed and nobody's buffers may be touched any
  // more.
  bool begin_copy();
  void end_copy() { copying_.fetch_sub(1); }

 private:
  // REQUIRES: failed(). Returns when nobody copies, and nobody will.
  void wait_for_copies() const;
  void wake_all();
  void look_for_standstill();

  int size_;
  int spins_;
  std::unique_ptr<Doorbell[]> bells_;
  std::unique_ptr<std::atomic<bool>[]> left_;
  std::atomic<bool> failed_{false};
  std::atomic<int> copying_{0};
  std::mutex sleepers_mutex_;                // of what follows; taken before any channel's
  std::vector<AwaitedOperation*> sleepers_;  // by rank; null: awake
  std::mutex mutex_;                         // of what follows
  std::condition_variable said_;
  int failed_rank_ = -1;
  std::string what_;  // empty until the failed rank's reason is known
};

}  // namespace megalith
