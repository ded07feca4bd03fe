// Large sums of integers over MPI: exchanged in pieces and added here. The library's own nonblocking
// reductions send everything through one rank and reached 4 to 6% of a copy where this reaches several times
// as much (bench/collectives).
//
// Each rank owns one part of the values. In a round every rank sends its share of one piece of each part to
// that part's owner, who adds; for an all-reduce the owners then send their sums back. Two rounds are under
// way at once, so memory is bounded and one adds while the other travels.
//
// A round needs every rank to go on with it, whatever they wait for themselves: so every wait of the process
// must call progress() until nothing is under way.
#pragma once

#include <mpi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "comm/communicator.h"

namespace megalith {

struct ReductionJob {
  MPI_Comm comm = MPI_COMM_NULL;  // for reductions only
  int rank = 0;
  int size = 1;
  int number = 0;  // of the communicator's reductions: keeps their messages apart
  IntegerReduction reduction = IntegerReduction::sum;
  const std::int64_t* values = nullptr;  // `count` of them
  std::size_t count = 0;
  std::size_t part = 0;              // rank r owns [r part, (r + 1) part), as far as there are values
  std::int64_t* result = nullptr;    // of this rank's part; may be that part itself
  std::int64_t* gathered = nullptr;  // all parts' sums: the values themselves, or null
};

class ReductionEngine {
 public:
  ReductionEngine();
  ~ReductionEngine();
  ReductionEngine(const ReductionEngine&) = delete;
  ReductionEngine& operator=(const ReductionEngine&) = delete;

  // Returns a place for done() and forget(). Throws PeerFailed.
  std::size_t begin(const ReductionJob& job);
  // Goes on with all that can go on, on this thread; throws PeerFailed. Several threads may call it.
  void progress();
  [[nodiscard]] bool idle() const { return under_way_.load(std::memory_order_acquire) == 0; }
  [[nodiscard]] bool done(std::size_t place);
  void forget(std::size_t place);  // REQUIRES: done

 private:
  class Reduction;
  std::mutex mutex_;
  std::atomic<int> under_way_{0};
  std::vector<std::unique_ptr<Reduction>> reductions_;  // kept for the next job when done: they own memory
};

}  // namespace megalith
