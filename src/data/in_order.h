// Work on a stream by several threads, with results in the order of the stream.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

namespace megalith {

// Calls read(input) until it gives false, work(input, thread) on each input by one of `num_threads` threads,
// and write(result) on the calling thread, in the order in which the inputs were read. One thread at a time
// reads. At most 2 * num_threads inputs and results are held. What read or work throw is thrown here when its
// turn to be written comes, so the first failure of the stream is the one that is told, whatever the number
// of threads.
template <class Input, class Result>
class InOrder {
 public:
  using Read = std::function<bool(Input&)>;
  using Work = std::function<Result(Input&, int thread)>;
  using Write = std::function<void(Result&)>;

  static void run(int num_threads, const Read& read, const Work& work, const Write& write) {
    InOrder stream(num_threads, read, work);
    std::vector<std::jthread> threads;
    struct StopAtExit {  // before the threads are joined, also when write throws
      InOrder& stream;
      ~StopAtExit() { stream.stop(); }
    };
    threads.reserve(static_cast<std::size_t>(num_threads));
    const StopAtExit stopper{stream};
    for (int thread = 0; thread < num_threads; ++thread) {
      threads.emplace_back([&stream, thread] { stream.work_on(thread); });
    }
    for (Outcome outcome; stream.take(outcome);) {
      if (auto* failure = std::get_if<std::exception_ptr>(&outcome)) std::rethrow_exception(*failure);
      write(std::get<Result>(outcome));
    }
  }

 private:
  using Outcome = std::variant<Result, std::exception_ptr>;

  InOrder(int num_threads, const Read& read, const Work& work)
      : most_held_(2 * std::int64_t{num_threads}), read_(read), work_(work) {}

  void work_on(int thread) {
    Input input;
    for (;;) {
      Outcome outcome;
      std::int64_t number = 0;
      bool go_on = true;
      try {
        if (!read_next(input, number)) return;
        outcome = work_(input, thread);
      } catch (...) {
        outcome = std::current_exception();
        go_on = false;
      }
      const std::lock_guard lock(mutex_);
      outcomes_.emplace(number, std::move(outcome));
      if (!go_on) ended_ = true;
      changed_.notify_all();
      if (!go_on) return;
    }
  }

  // Takes the number before it reads, so that a failure has its place in the order.
  bool read_next(Input& input, std::int64_t& number) {
    std::unique_lock reading(reading_);
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ended_ || num_read_ - num_written_ < most_held_; });
      if (ended_) return false;
      number = num_read_++;
    }
    if (read_(input)) return true;
    const std::lock_guard lock(mutex_);
    --num_read_;
    ended_ = true;
    changed_.notify_all();
    return false;
  }

  bool take(Outcome& outcome) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock,
                  [&] { return outcomes_.contains(num_written_) || (ended_ && num_written_ == num_read_); });
    const auto next = outcomes_.find(num_written_);
    if (next == outcomes_.end()) return false;
    outcome = std::move(next->second);
    outcomes_.erase(next);
    ++num_written_;
    changed_.notify_all();
    return true;
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  const std::int64_t most_held_;
  const Read& read_;
  const Work& work_;
  std::mutex reading_;
  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  std::map<std::int64_t, Outcome> outcomes_;
  std::int64_t num_read_ = 0, num_written_ = 0;
  bool ended_ = false;
};

}  // namespace megalith
