// The learning rate of a step, in own arithmetic: the same bits on every machine.
#pragma once

#include <cstdint>

#include "train/train_config.h"

namespace megalith {

struct LearningRateSchedule {
  explicit LearningRateSchedule(const TrainConfig& config);

  double peak;
  std::int64_t warmup;  // steps of linear rise; step 0 takes peak / warmup
  std::int64_t steps;   // where the decay ends
  LearningRateDecay decay;
  double minimum_ratio;  // of the peak, where the decay ends and after

  // Rate of 0-based `step`.
  [[nodiscard]] double at(std::int64_t step) const;
};

}  // namespace megalith
