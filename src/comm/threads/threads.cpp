#include "comm/threads/threads.h"

#include <exception>
#include <numeric>
#include <thread>
#include <utility>

#include "comm/threads/group.h"
#include "core/error.h"
#include "core/floating_point_mode.h"

namespace megalith {
namespace {

// What an exception says to the other ranks. A failure of somebody else keeps that one's name.
std::string explain(int rank, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PeerFailed& failure) {
    return failure.what();
  } catch (const std::exception& failure) {
    return fmt::format("rank {} failed: {}", rank, failure.what());
  } catch (...) {
    return fmt::format("rank {} failed", rank);
  }
}

std::exception_ptr run_rank(const std::shared_ptr<Group>& group, int rank,
                            const std::function<void(Communicator&)>& body) {
  set_floating_point_mode();
  Job& job = group->job();
  std::exception_ptr error;
  try {
    const std::unique_ptr<Communicator> world = make_thread_communicator(group, rank);
    body(*world);
  } catch (...) {
    error = std::current_exception();
    job.fail(rank, explain(rank, error));
  }
  job.leave(rank);
  return error;
}

}  // namespace

void run_ranks(int size, const std::function<void(Communicator& world)>& body) {
  MEGALITH_CHECK(size >= 1 && size <= 1024, "{} ranks", size);
  Job job(size);
  std::vector<int> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  const auto group = std::make_shared<Group>(job, ranks, "world");
  std::vector<std::exception_ptr> errors(ranks.size());
  std::vector<std::thread> threads;
  for (const int rank : ranks) {
    threads.emplace_back([&, rank] { errors[static_cast<std::size_t>(rank)] = run_rank(group, rank, body); });
  }
  for (std::thread& thread : threads) thread.join();
  // The rank to blame may have ended without an exception; then what the others say names it.
  const int first = job.failed_rank();
  if (first >= 0 && errors[static_cast<std::size_t>(first)]) {
    std::rethrow_exception(errors[static_cast<std::size_t>(first)]);
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace megalith
