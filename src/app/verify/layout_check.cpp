#include "app/verify/layout_check.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <system_error>

namespace megalith::app {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Removed with what it holds.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "megalith-layouts-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw WorldFailed("no folder can be made beside " + name);
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] std::filesystem::path folder(const char* name) const {
    std::filesystem::create_directory(path_ / name);
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace

const CheckedLayout* LayoutCheck::first_unequal() const {
  const auto place = std::find_if(layouts.begin(), layouts.end(),
                                  [](const CheckedLayout& layout) { return !layout.equal(); });
  return place == layouts.end() ? nullptr : &*place;
}

const std::vector<InjectableFault>& injectable_faults() {
  constexpr std::size_t kGradients = 64;  // sums of fewer values are counters and norms
  static const std::vector<InjectableFault> kFaults = {
      {.name = "sum-order", .fault = {.kind = FaultKind::sum_order, .group = "tensor"}, .tensor = 4},
      {.name = "forgotten-reduce",
       .fault = {.kind = FaultKind::forgotten_reduce, .group = "data", .least_values = kGradients},
       .data = 2},
      {.name = "double-count",
       .fault = {.kind = FaultKind::double_count, .group = "data", .least_values = kGradients},
       .data = 2},
  };
  return kFaults;
}

CheckedLayout check_layout(const TrainConfig& config, const ParallelConfig& parallel, const TrialSetup& setup,
                           const LayoutTrial& one_rank) {
  CheckedLayout checked{.parallel = parallel};
  TrainConfig laid_out = config;
  laid_out.parallel = parallel;
  const auto start = std::chrono::steady_clock::now();
  try {
    checked.trial = try_layout(laid_out, setup);
    checked.difference = first_difference(one_rank, checked.trial);
  } catch (const std::exception& failure) {
    checked.failure = failure.what();
  }
  checked.seconds = seconds_since(start);
  return checked;
}

TensorDifference find_tensors(const TrainConfig& config, const CheckedLayout& unequal, TrialSetup setup) {
  if (!unequal.difference) return {};
  const ScratchFolder scratch;
  setup.steps = unequal.difference->step;
  TrainConfig laid_out = config;
  laid_out.parallel = unequal.parallel;
  setup.save_to = scratch.folder("found");
  try_layout(laid_out, setup);
  laid_out.parallel = {.data = 1};
  setup.fault = {};
  setup.save_to = scratch.folder("expected");
  try_layout(laid_out, setup);
  const std::string name = fmt::format("step-{:08}", setup.steps);
  return differing_tensors(config.model, scratch.folder("expected") / name, scratch.folder("found") / name);
}

}  // namespace megalith::app
