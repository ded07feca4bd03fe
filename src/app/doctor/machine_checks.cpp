#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <thread>

#include "app/build_facts.h"
#include "app/doctor/check.h"
#include "core/thread_pool.h"
#include "device/cpu/bf16_rate.h"
#include "device/cpu/isa.h"

namespace megalith::app {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

Check build_check() {
  const BuildFacts facts = build_facts();
  Check check{.name = "build",
              .state = CheckState::ok,
              .found = version_line(),
              .why = "an optimised build",
              .to_do = ""};
  if (facts.build_type != "Release" || !facts.sanitizers.empty()) {
    check.state = CheckState::warning;
    check.why = "made for finding bugs; several times slower than a release build, with the same bits";
    check.to_do = "cmake --preset release && cmake --build build/release --target megalith";
  }
  return check;
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "processor without a name";
}

Check kernel_check() {
  const std::vector<cpu::Isa> here = cpu::available_isas();
  std::string families;
  for (const cpu::Isa isa : here) families += (families.empty() ? "" : ", ") + std::string(cpu::name_of(isa));
  const char* forced = std::getenv("MEGALITH_ISA");
  const Expected<cpu::Isa> chosen = cpu::choose_isa(forced);
  Check check{.name = "kernels", .state = CheckState::ok, .found = "", .why = "", .to_do = ""};
  if (!chosen) {
    check.state = CheckState::warning;
    check.found = to_string(chosen.error());
    check.why = "every verb that computes will refuse to start";
    check.to_do = "unset MEGALITH_ISA";
    return check;
  }
  check.found = fmt::format("{} on {}; available: {}", cpu::name_of(*chosen), processor_name(), families);
  if (forced != nullptr && *forced != '\0') {
    check.why = "MEGALITH_ISA asks for it; all families give the same bits";
    if (*chosen != here.back()) check.to_do = "unset MEGALITH_ISA for speed";
  } else if (here.back() == cpu::Isa::avx512_bf16) {
    check.why =
        *chosen == cpu::Isa::avx512_bf16
            ? "a probe at start found the bf16 instruction vdpbf16ps faster than two fp32 multiply-adds"
            : "a probe at start found the bf16 instruction vdpbf16ps no faster than two fp32 multiply-adds";
  } else {
    check.why = "the fastest family this processor has; all families give the same bits";
  }
  if (here.back() == cpu::Isa::portable) {
    check.state = CheckState::warning;
    check.why = "no AVX2 here: everything works, several times slower, with the same bits";
  }
  return check;
}

Check thread_check() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int affinity = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
  const int usable = usable_processors();
  const int online = static_cast<int>(std::thread::hardware_concurrency());
  Check check{.name = "threads",
              .state = CheckState::ok,
              .found = fmt::format("{} used; {} online, {} allowed by affinity", usable, online, affinity),
              .why = "one computing thread per allowed processor (device.threads overrides)",
              .to_do = ""};
  if (affinity > 0 && usable < affinity) {
    check.found += fmt::format(", cut to {} by the cgroup CPU quota", usable);
    check.why = "more threads than the quota pays for would only wait for each other";
  }
  return check;
}

// A number in a file; nothing when the file is absent or says "max".
std::optional<double> number_in(const char* path) {
  std::ifstream file(path);
  double value = 0;
  if (file >> value && value > 0 && value < 1e18) return value;
  return std::nullopt;
}

std::optional<double> cgroup_memory_limit() {
  if (const auto limit = number_in("/sys/fs/cgroup/memory.max")) return limit;
  return number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes");
}

// Bytes of one line of /proc/meminfo.
double meminfo(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    double kib = 0;
    if (word == key + ":" && file >> kib) return kib * 1024;
  }
  return 0;
}

Check memory_check() {
  const double total = meminfo("MemTotal");
  double available = meminfo("MemAvailable");
  Check check{.name = "memory",
              .state = CheckState::ok,
              .found = fmt::format("{:.1f} GiB, {:.1f} GiB available", total / kGiB, available / kGiB),
              .why = "the quickstart needs about 1 GiB, GPT-2 124M training about 4 GiB",
              .to_do = ""};
  if (const auto limit = cgroup_memory_limit(); limit && *limit < total) {
    check.found += fmt::format(", limited to {:.1f} GiB by the cgroup", *limit / kGiB);
    available = std::min(available, *limit);
  }
  if (available < kGiB) {
    check.state = CheckState::warning;
    check.to_do = "close something, or raise the memory limit of this container";
  }
  return check;
}

Check disk_check() {
  struct statvfs status {};
  Check check{.name = "disk", .state = CheckState::warning, .found = "unknown", .why = "", .to_do = ""};
  check.why = "builds and runs are written below the working folder; the quickstart needs about 0.5 GiB";
  if (::statvfs(".", &status) != 0) return check;
  const double free_bytes = static_cast<double>(status.f_bavail) * static_cast<double>(status.f_frsize);
  check.found = fmt::format("{:.1f} GiB free here", free_bytes / kGiB);
  if (::access(".", W_OK) != 0) {
    check.found += ", folder not writable";
    check.to_do = "change to a folder of yours, or give --run-dir";
  } else if (free_bytes < kGiB) {
    check.to_do =
        "make room: a checkpoint takes about 12 bytes per parameter, and each is written before an old one "
        "goes";
  } else {
    check.state = CheckState::ok;
  }
  return check;
}

Check file_limit_check() {
  struct rlimit limit {};
  Check check{.name = "open files", .state = CheckState::ok, .found = "unknown", .why = "", .to_do = ""};
  check.why = "a run keeps fewer than fifty files open";
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return check;
  check.found = limit.rlim_cur == RLIM_INFINITY ? "no limit" : fmt::format("at most {}", limit.rlim_cur);
  if (limit.rlim_cur < 64) {
    check.state = CheckState::warning;
    check.to_do = "ulimit -n 1024";
  }
  return check;
}

Check locale_check() {
  std::string name;
  for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(variable);
    if (name.empty() && value != nullptr && *value != '\0') name = fmt::format("{}={}", variable, value);
  }
  return {.name = "locale",
          .state = CheckState::ok,
          .found = name.empty() ? "none set" : name,
          .why = "any will do: text is read and written as UTF-8, numbers with a point, whatever it says",
          .to_do = ""};
}

}  // namespace

Checks machine_checks() {
  return {build_check(), kernel_check(),     thread_check(), memory_check(),
          disk_check(),  file_limit_check(), locale_check()};
}

}  // namespace megalith::app
