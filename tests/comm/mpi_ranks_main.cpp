// One rank of the tests over MPI: mpirun -n N test_comm_mpi conform | failure KIND RANK | under-way RANK
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/conformance.h"
#include "comm/leave_first.h"
#include "comm/mpi/mpi_communicator.h"
#include "comm/mpi/mpi_ranks.h"
#include "core/arena.h"

namespace megalith {
namespace {

int conform(Communicator& world) {
  for (const ConformanceCase& one : conformance_cases()) {
    try {
      one.body(world);
    } catch (const std::logic_error& failure) {
      throw std::runtime_error(std::string(one.name) + ": " + failure.what());
    }
    if (world.rank() == 0) std::printf("%s holds for %d ranks\n", one.name, world.size());
  }
  return 0;
}

// The same with pieces so small that everything is cut, as what is larger than MPI can count is.
int conform_in_pieces(Communicator&) {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  return conform(*make_mpi_communicator(comm, "pieces", std::make_shared<ReductionEngine>(), 1000));
}

// The rank ends in the middle of a stream of collectives; the others would wait for ever.
int fail(Communicator& world, const std::string& kind, int rank) {
  std::vector<std::int64_t> values(100'000, 1);
  for (int i = 0;; ++i) {
    world.wait(world.all_reduce(values, IntegerReduction::maximum));
    if (i < 10 || world.rank() != rank) continue;
    if (kind == "kill") raise(SIGKILL);
    if (kind == "exit") _exit(0);
    throw std::runtime_error("the disk is full");
  }
}

// The same while messages and sums are on their way to memory that goes with the rank.
int fail_under_way(Communicator& world, int rank) {
  constexpr std::size_t kValues = 500'000;
  Arena memory("messages", 4 * kValues * sizeof(std::int64_t));
  const Tensor sums = memory.allocate(DType::i64, {kValues});
  const Tensor out = memory.allocate(DType::i64, {kValues});
  const Tensor in = memory.allocate(DType::i64, {kValues});
  const LeaveFirst leave(world);
  const int next = (world.rank() + 1) % world.size();
  const int before = (world.rank() + world.size() - 1) % world.size();
  for (int i = 0;; ++i) {
    const auto sum = world.all_reduce(sums.values<std::int64_t>(), IntegerReduction::sum);
    const auto receipt = world.receive(in.bytes(), before);
    const auto sending = world.send(out.bytes(), next);
    if (i == 10 && world.rank() == rank) throw std::runtime_error("the disk is full");
    for (const auto request : {sending, receipt, sum}) world.wait(request);
  }
}

int run(std::span<char*> arguments) {
  const std::string what = arguments.size() > 1 ? arguments[1] : "";
  if (what == "conform") return run_mpi_rank(conform);
  if (what == "pieces") return run_mpi_rank(conform_in_pieces);
  if (what == "code") return run_mpi_rank([](Communicator& world) { return world.rank() == 1 ? 3 : 0; });
  if (what == "failure" && arguments.size() == 4) {
    return run_mpi_rank(
        [&](Communicator& world) { return fail(world, arguments[2], std::atoi(arguments[3])); });
  }
  if (what == "under-way" && arguments.size() == 3) {
    return run_mpi_rank([&](Communicator& world) { return fail_under_way(world, std::atoi(arguments[2])); });
  }
  std::fprintf(
      stderr,
      "usage: test_comm_mpi conform | pieces | code | failure kill|exit|throw RANK | under-way RANK\n");
  return 2;
}

}  // namespace
}  // namespace megalith

int main(int count, char** arguments) {
  return megalith::run({arguments, static_cast<std::size_t>(count)});
}
