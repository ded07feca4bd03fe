// Which checkpoints of a run stay: the newest, every Nth step, and the best on held-out text. Nothing is
// written here but into the checkpoints themselves, so a kill at any moment loses no decision.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "train/train_config.h"

namespace megalith {

class CheckpointPolicy {
 public:
  // `checkpoints` is their folder.
  CheckpointPolicy(const TrainConfig& config, std::filesystem::path checkpoints);

  // The run goes on after `step`: finds the best one again among the checkpoints up to it.
  void resume_after(std::int64_t step);
  // The loss of the first held-out set at `step`.
  void validated(std::int64_t step, double loss);
  // True when a checkpoint of `step` is wanted because it was just validated better than the best one.
  [[nodiscard]] bool improved_at(std::int64_t step) const;
  // For the manifest of the checkpoint of `step`.
  [[nodiscard]] std::map<std::string, std::string> notes(std::int64_t step) const;
  // The checkpoint of `step` is complete: takes it into account and removes what need not stay.
  void saved(std::int64_t step);

 private:
  struct Measured {
    std::int64_t step = 0;
    double loss = 0;
  };
  [[nodiscard]] std::string measure() const;
  [[nodiscard]] bool stays(std::int64_t step) const;

  const TrainConfig& config_;
  std::filesystem::path checkpoints_;
  std::optional<Measured> last_;  // the latest validation
  std::optional<Measured> best_;  // of those with a checkpoint
};

}  // namespace megalith
