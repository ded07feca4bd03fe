// A small pool for data-parallel loops: a reader can follow it, ThreadSanitizer can see it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace megalith {

// Non-owning reference to a callable, so that a parallel loop allocates nothing.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  FunctionRef(F&& f)  // NOLINT: implicit by design
      : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, static_cast<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

class ThreadPool {
 public:
  // The calling thread works too: `num_threads` - 1 workers are started. All flush denormals.
  // REQUIRES: 1 <= num_threads <= 1024.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int num_threads() const;

  // Calls body(task, thread) for every task in [0, num_tasks) once and returns when all are done. Tasks are
  // handed out dynamically, so nothing a task computes may depend on `thread` but scratch memory (0 <= thread
  // < num_threads). Not reentrant; called from the owning thread only. body must not throw.
  void for_each(std::int64_t num_tasks, FunctionRef<void(std::int64_t task, int thread)> body);

  // Cuts [0, count) into chunks of at most `chunk` and calls body(begin, end, thread) for each.
  void for_range(std::int64_t count, std::int64_t chunk,
                 FunctionRef<void(std::int64_t begin, std::int64_t end, int thread)> body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Processors this process may use: the affinity mask, cut down to a cgroup CPU quota (rounded up), at
// least 1.
int usable_processors();

}  // namespace megalith
