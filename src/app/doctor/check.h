// What the doctor looks at: each check is one line of its report.
#pragma once

#include <string>
#include <vector>

namespace megalith::app {

enum class CheckState { ok, missing, warning };

struct Check {
  std::string name;  // "threads"
  CheckState state = CheckState::ok;
  std::string found;  // what is there
  std::string why;    // what that means for Megalith
  std::string to_do;  // what the reader may do about it; empty when nothing needs doing
};

using Checks = std::vector<Check>;

// What this binary and this machine bring: build, kernels, threads, memory, disk, file limit, locale.
Checks machine_checks();

// What others provide, all of it optional: MPI, CUDA, NCCL.
Checks provider_checks();

// The programs of this name along PATH; empty when there is none.
std::string find_program(const std::string& name);

}  // namespace megalith::app
