#include "app/launch/launch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "app/console.h"
#include "comm/exchange.h"
#include "comm/host.h"
#include "comm/launch_environment.h"
#include "comm/mpi/mpi_ranks.h"
#include "comm/threads/threads.h"
#include "core/thread_pool.h"

namespace megalith::app {
namespace {

ExitCode run_body(Communicator& world, const RankBody& body) {
  try {
    return body(world);
  } catch (const AgreedRefusal& refusal) {
    if (!refusal.refusals.empty()) complain(to_string(refusal.refusals));
    return ExitCode::refused;
  }
}

// Failures that do not say whose they are say it from here on.
ExitCode run_thread(Communicator& world, const RankBody& body) {
  const auto named = [&](const char* what) { return fmt::format("rank {}: {}", world.rank(), what); };
  try {
    return run_body(world, body);
  } catch (const WorldFailed& failure) {
    throw WorldFailed(named(failure.what()));
  } catch (const std::bad_alloc&) {
    throw WorldFailed(named("not enough memory"));
  }
}

ExitCode run_as_threads(int ranks, const RankBody& body) {
  std::atomic<ExitCode> code{ExitCode::done};
  try {
    run_ranks(ranks, [&](Communicator& world) {
      const ExitCode mine = run_thread(world, body);
      if (world.rank() == 0) code = mine;
    });
  } catch (const PeerFailed& failure) {
    throw WorldFailed(failure.what());
  }
  return code;
}

// Whose word counts before ranks can talk: every process finds the same, so one of them tells it.
[[noreturn]] void refuse_launch(const LaunchEnvironment& launched, const Refusal& refusal) {
  throw RefusedInput(launched.rank == 0 ? Refusals{refusal} : Refusals{});
}

// Processes of srun without PMIx know at least their number.
bool is_first_of_step() {
  const char* number = std::getenv("SLURM_PROCID");
  return number == nullptr || std::string_view(number) == "0";
}

}  // namespace

ExitCode launch(std::int64_t ranks, const RankBody& body) {
  const Expected<LaunchEnvironment> environment = launch_environment();
  if (!environment) throw RefusedInput(is_first_of_step() ? environment.error() : Refusals{});
  const LaunchEnvironment& launched = *environment;
  if (launched.ranks > 1) {
    if (ranks > 0) {
      refuse_launch(launched, {.where = "--ranks",
                               .found = fmt::format("{} under {}", ranks, launched.launcher),
                               .allowed = "ranks as threads of one process, or processes of a launcher",
                               .nearest = fmt::format("no --ranks: there are {} ranks", launched.ranks)});
    }
    if (!mpi_support().present) {
      refuse_launch(launched,
                    {.where = launched.launcher,
                     .found = fmt::format("{} processes, and a megalith without MPI", launched.ranks),
                     .allowed = "a megalith that was built where libopenmpi-dev is",
                     .nearest = fmt::format("--ranks {}: as threads, on this machine", launched.ranks)});
    }
    return static_cast<ExitCode>(
        run_mpi_rank([&](Communicator& world) { return static_cast<int>(run_body(world, body)); }));
  }
  if (ranks > 1) return run_as_threads(static_cast<int>(ranks), body);
  return run_body(*make_self_communicator("world"), body);
}

void agree_on_refusals(Communicator& world, const Refusals* mine) {
  const std::vector<std::int64_t> refused = numbers_of(world, mine != nullptr ? 1 : 0);
  const auto first = std::find(refused.begin(), refused.end(), 1);
  if (first == refused.end()) return;
  AgreedRefusal refusal;
  if (first - refused.begin() == world.rank()) refusal.refusals = *mine;
  const bool all = std::count(refused.begin(), refused.end(), 1) == world.size();
  for (Refusal& one : refusal.refusals) {
    if (!all) one.where = fmt::format("rank {}: {}", world.rank(), one.where);
  }
  throw refusal;
}

void require_same(Communicator& world, std::uint64_t value, const char* what) {
  const std::vector<std::int64_t> values = numbers_of(world, static_cast<std::int64_t>(value));
  agreed(world, [&] {
    const std::size_t other = first_unlike(values);
    if (other == 0) return;
    throw RefusedInput({{.where = fmt::format("rank {}", other),
                         .found = fmt::format("another {} than rank 0 has", what),
                         .allowed = "the same on all ranks"}});
  });
}

int threads_of_rank(Communicator& world) {
  if (world.size() == 1) return usable_processors();
  // A launcher that binds gives each process its own; without one all see the same.
  const HostShare share = share_of_host(world);
  return std::clamp(share.processors / share.ranks, 1, usable_processors());
}

}  // namespace megalith::app
