#include "app/verify/layout_check.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <system_error>

#include "comm/exchange.h"
#include "pipeline/schedule_proof.h"
#include "run/checkpoint_store.h"

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
    for (const char* folder : {"found", "expected"}) std::filesystem::create_directory(path_ / folder);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

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

LayoutTrial Ranks::run(const TrainConfig& config, const TrialSetup& setup) const {
  if (world_ == nullptr) return try_layout(config, setup);
  if (layout_of(config.parallel).ranks() == world_->size()) return try_layout(config, setup, *world_);
  return leads() ? try_layout(config, setup) : LayoutTrial{};
}

std::string Ranks::told(const std::string& by_leader) const {
  return world_ == nullptr ? by_leader : text_from(*world_, by_leader);
}

CheckedLayout check_layout(const TrainConfig& config, const ParallelConfig& parallel, const TrialSetup& setup,
                           const LayoutTrial& one_rank, const Ranks& ranks) {
  CheckedLayout checked{.parallel = parallel};
  TrainConfig laid_out = config;
  laid_out.parallel = parallel;
  const PipelineConfig pipeline = pipeline_config(laid_out, layout_of(parallel));
  checked.failure = schedule_flaw(shape_of(pipeline, pipeline.max_micro_batches));
  if (!checked.failure.empty()) return checked;
  const auto start = std::chrono::steady_clock::now();
  try {
    checked.trial = ranks.run(laid_out, setup);
    if (ranks.leads()) checked.difference = first_difference(one_rank, checked.trial);
  } catch (const std::exception& failure) {
    checked.failure = failure.what();
  }
  checked.seconds = seconds_since(start);
  return checked;
}

TensorDifference find_tensors(const TrainConfig& config, const ParallelConfig& unequal, std::int64_t step,
                              TrialSetup setup, const Ranks& ranks) {
  std::optional<ScratchFolder> scratch;
  if (ranks.leads()) scratch.emplace();
  const std::filesystem::path folder = ranks.told(scratch ? scratch->path().string() : "");
  setup.steps = step;
  TrainConfig laid_out = config;
  laid_out.parallel = unequal;
  setup.save_to = folder / "found";
  ranks.run(laid_out, setup);
  laid_out.parallel = {.data = 1};
  setup.fault = {};
  setup.save_to = folder / "expected";
  ranks.run(laid_out, setup);
  if (!ranks.leads()) return {};
  const std::string name = checkpoint_folder_name(step);
  return differing_tensors(config.model, folder / "expected" / name, folder / "found" / name);
}

}  // namespace megalith::app
