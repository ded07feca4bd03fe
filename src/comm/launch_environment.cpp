#include "comm/launch_environment.h"

#include <cstdlib>

namespace megalith {
namespace {

// 0 where the variable is not there or no number.
int number(EnvironmentLookup lookup, const char* name) {
  const char* text = lookup(name);
  return text == nullptr ? 0 : std::atoi(text);
}

}  // namespace

Expected<LaunchEnvironment> launch_environment(EnvironmentLookup lookup) {
  if (const int ranks = number(lookup, "OMPI_COMM_WORLD_SIZE"); ranks > 0) {
    return LaunchEnvironment{"mpirun", number(lookup, "OMPI_COMM_WORLD_RANK"), ranks};
  }
  // What the step has, not what the batch script was given: the script itself is no rank.
  const int tasks = number(lookup, "SLURM_STEP_NUM_TASKS");
  if (lookup("PMIX_RANK") != nullptr) {
    return LaunchEnvironment{tasks > 0 ? "srun" : "PMIx", number(lookup, "PMIX_RANK"), tasks > 0 ? tasks : 1};
  }
  if (tasks > 1) {
    return refuse({.where = "srun",
                   .found = fmt::format("{} processes that cannot find each other (no PMIx)", tasks),
                   .allowed = "processes started through PMIx, which Open MPI speaks",
                   .nearest = "srun --mpi=pmix, or mpirun inside the allocation"});
  }
  return LaunchEnvironment{};
}

Expected<LaunchEnvironment> launch_environment() {
  return launch_environment([](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace megalith
