#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "app/doctor/check.h"

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
  const std::string program = find_program("mpirun");
  if (!program.empty()) {
    return {.name = "MPI",
            .state = CheckState::ok,
            .found = program,
            .why = "optional; this version trains in one process and does not use it",
            .to_do = ""};
  }
  return {.name = "MPI",
          .state = CheckState::missing,
          .found = "no mpirun on PATH",
          .why = "optional; this version trains in one process and does not use it",
          .to_do = "nothing now (Debian: openmpi-bin libopenmpi-dev)"};
}

// The driver's own words, such as "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54 ...".
std::string cuda_driver() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string line;
  std::getline(file, line);
  return line.substr(0, 120);
}

Check cuda_check() {
  const std::string driver = cuda_driver();
  std::string compiler = find_program("nvcc");
  if (compiler.empty() && is_file("/usr/local/cuda/bin/nvcc")) compiler = "/usr/local/cuda/bin/nvcc";
  Check check{.name = "CUDA", .state = CheckState::ok, .found = "", .why = "", .to_do = ""};
  check.found = (driver.empty() ? "no driver" : "driver: " + driver) +
                (compiler.empty() ? "; no nvcc" : "; compiler: " + compiler);
  check.why = "optional; this version computes on the CPU";
  if (driver.empty() || compiler.empty()) {
    check.state = CheckState::missing;
    check.to_do = "nothing now";
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
