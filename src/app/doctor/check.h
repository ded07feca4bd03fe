// What the doctor looks at: each check is one line of its report.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace megalith::app {

struct ExactPrice;

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

// What equal bits in every layout cost, and the grain that keeps it below a tenth of a step: of a config, or
// of a typical step where none is given. A second. Throws RefusedInput for a config that is none.
Check grain_check(const std::filesystem::path& config_file);
Check grain_check(const ExactPrice& price, const std::string& config_file);

// The programs of this name along PATH; empty when there is none.
std::string find_program(const std::string& name);

}  // namespace megalith::app
