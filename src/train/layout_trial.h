// A few training steps in one layout, and what they came to: how layouts are compared.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/faults/faulty_communicator.h"
#include "train/trainer.h"

namespace megalith {

struct TrialSetup {
  const Dataset& train;                                  // shared by all ranks
  std::function<std::unique_ptr<Device>()> make_device;  // one per rank
  std::int64_t steps = 3;
  std::optional<PlantedFault> fault = {};
  MakeSchedule schedule = training_schedule;  // of a stage
  std::filesystem::path save_to = {};         // folder for a checkpoint after the last step; empty: none
};

struct LayoutTrial {
  std::vector<StepResult> steps;  // of rank 0
  std::string disagreement;       // "rank 3 says loss ... in step 2"; empty where all ranks say the same

  // Of the bits of all steps: the losses, the norms; and the parameters after the last one.
  [[nodiscard]] std::uint64_t loss_digest() const;
  [[nodiscard]] std::uint64_t norm_digest() const;
  [[nodiscard]] std::uint64_t parameter_digest() const;
};

// Collective: config.parallel, in which data is resolved, is a legal layout of `world`.
LayoutTrial try_layout(const TrainConfig& config, const TrialSetup& setup, Communicator& world);
// The same with ranks as threads of this process.
LayoutTrial try_layout(const TrainConfig& config, const TrialSetup& setup);

struct TrialDifference {
  std::int64_t step = 0;  // from 1
  std::string what;       // "loss", "gradient norm", "parameters"
  std::string expected;
  std::string found;
};
// The first, causes before effects: data, loss, norm, parameters; or that ranks disagree among themselves.
std::optional<TrialDifference> first_difference(const LayoutTrial& expected, const LayoutTrial& found);

// The first tensors in the model's order that differ between two checkpoints of one model: weights, then what
// the optimizer keeps.
struct TensorDifference {
  std::string first;  // empty: none
  std::int64_t tensors = 0;
};
TensorDifference differing_tensors(const ModelConfig& model, const std::filesystem::path& expected,
                                   const std::filesystem::path& found);

}  // namespace megalith
