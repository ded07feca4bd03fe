// Every kernel check on a GPU: one line each, then what cuBLASLt's start-up checks chose. Without a GPU it
// says why and exits with 77, which ctest counts as skipped. No test framework: it also runs where there is
// none (bench/gpu).

#include <chrono>
#include <cstdio>

#include "device/cuda/gpu/gpu_checked_device.h"

namespace megalith::test {
namespace {

constexpr int kSkipped = 77;

// Returns whether the check found nothing.
bool run(const KernelCheck& check) {
  const auto start = std::chrono::steady_clock::now();
  Findings findings;
  GpuCheckedDevice device;  // a fresh one: what a check leaves behind does not reach the next
  try {
    check.run(device, findings);
    device.wait();
  } catch (const std::exception& error) {
    findings.expect(false, error.what());
  }
  const bool good = findings.problems().empty();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%-8s %-62s %6.1f s\n", good ? "ok" : "FAILED", check.name, seconds);
  for (const std::string& problem : findings.problems()) std::printf("           %s\n", problem.c_str());
  for (const auto& [key, choice] : device.device().algorithms().choices()) {
    if (key.operands != DType::bf16) continue;
    std::printf("           %s: %s\n", cuda::describe(key).c_str(), cuda::name_of(choice.algorithm));
  }
  std::fflush(stdout);
  return good;
}

int run_all() {
  const cuda::Availability here = cuda::availability();
  if (!here.why_not.empty()) {
    std::printf("skipped: %s\n", here.why_not.c_str());
    return kSkipped;
  }
  std::printf("%s, driver %s, %s\n", here.toolkit.c_str(), here.driver.c_str(), here.library.c_str());
  for (const std::string& name : here.devices) std::printf("%s\n", name.c_str());
  int failed = 0;
  int total = 0;
  for (const auto& part : {runtime_checks(), rowwise_checks(), optimizer_checks(), product_checks()}) {
    for (const KernelCheck& check : part) {
      ++total;
      failed += run(check) ? 0 : 1;
    }
  }
  std::printf("%d of %d checks failed\n", failed, total);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace megalith::test

int main() {
  return megalith::test::run_all();
}
