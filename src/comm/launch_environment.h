// What a launcher says in the environment of the processes it starts.
#pragma once

#include <optional>
#include <string>

#include "core/error.h"

namespace megalith {

struct LaunchEnvironment {
  std::string launcher;  // "mpirun", "srun"; empty where this process was started alone
  int rank = 0;
  int ranks = 1;
};

using EnvironmentLookup = const char* (*)(const char* name);

// Refuses processes that srun started beside each other without a way to find each other: each would take
// itself for the only one. Looks at variables alone, so it costs nothing and begins no MPI.
Expected<LaunchEnvironment> launch_environment(EnvironmentLookup lookup);
Expected<LaunchEnvironment> launch_environment();

}  // namespace megalith
