#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "app/doctor/check.h"
#include "comm/mpi/mpi_ranks.h"
#include "device/cuda/coverage.h"
#include "device/cuda/cuda_device.h"

namespace megalith::app {
namespace {

namespace fs = std::filesystem;

// The parts of a list separated by colons, such as PATH.
std::vector<std::string> folders_of(const char* variable) {
  std::vector<std::string> folders;
  const char* value = std::getenv(variable);
  std::string text = value == nullptr ? "" : value;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find(':', start), text.size());
    if (end > start) folders.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return folders;
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

std::string find_library(const std::string& name) {
  std::vector<std::string> folders = folders_of("LD_LIBRARY_PATH");
  for (const char* folder : {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
                             "/usr/lib", "/usr/local/lib", "/usr/local/cuda/lib64"}) {
    folders.emplace_back(folder);
  }
  for (const std::string& folder : folders) {
    if (is_file(fs::path(folder) / name)) return (fs::path(folder) / name).string();
  }
  return "";
}

Check mpi_check() {
  const MpiSupport mpi = mpi_support();
  const std::string launcher = find_program("mpirun");
  Check check{.name = "MPI",
              .state = CheckState::ok,
              .found = mpi.text + "; " + (launcher.empty() ? "no mpirun on PATH" : launcher),
              .why = "optional; for ranks that are processes, here or on several machines",
              .to_do = ""};
  if (!mpi.present) {
    check.state = CheckState::missing;
    check.to_do = "nothing, or install libopenmpi-dev and openmpi-bin and build again";
  } else if (launcher.empty()) {
    check.to_do = "nothing, or install openmpi-bin; Slurm's srun needs no mpirun";
  }
  return check;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

Check cuda_check() {
  const cuda::Availability cuda = cuda::availability();
  Check check{.name = "CUDA", .state = CheckState::missing, .found = "", .why = "", .to_do = "nothing now"};
  if (!cuda.compiled) {
    check.found = cuda.why_not;
    check.why = "optional; this version trains on the CPU";
    return check;
  }
  check.found = cuda.toolkit;
  check.found += cuda.driver.empty() ? "; no driver" : "; driver: " + cuda.driver;
  if (!cuda.devices.empty()) check.found += "; " + joined(cuda.devices);
  if (!cuda.library.empty()) check.found += "; " + cuda.library;
  std::size_t there = 0;
  for (const cuda::OperationCoverage& operation : cuda::coverage()) there += operation.on_cuda ? 1 : 0;
  const std::string coverage =
      fmt::format("{} of {} operations exist on CUDA, so this version trains on the CPU (docs/cuda.md)",
                  there, cuda::coverage().size());
  if (cuda.why_not.empty()) {
    check.state = CheckState::ok;
    check.why = coverage;
    check.to_do = "";
  } else {
    check.why = fmt::format("not usable: {}; {}", cuda.why_not, coverage);
  }
  return check;
}

Check nccl_check() {
  const std::string library = find_library("libnccl.so.2");
  return {.name = "NCCL",
          .state = library.empty() ? CheckState::missing : CheckState::ok,
          .found = library.empty() ? "no libnccl.so.2" : library,
          .why = "optional; carries gradients between GPUs, which this version does not use",
          .to_do = library.empty() ? "nothing now" : ""};
}

}  // namespace

std::string find_program(const std::string& name) {
  for (const std::string& folder : folders_of("PATH")) {
    const fs::path path = fs::path(folder) / name;
    if (is_file(path) && ::access(path.c_str(), X_OK) == 0) return path.string();
  }
  return "";
}

Checks provider_checks() {
  return {mpi_check(), cuda_check(), nccl_check()};
}

}  // namespace megalith::app
