// The learning rate of a step, in own arithmetic: the same bits on every machine.
#pragma once

#include <cstdint>

namespace megalith {

enum class Decay : std::uint8_t { constant, linear, cosine };

struct LearningRateSchedule {
  double peak = 0;
  std::int64_t warmup = 0;  // steps of linear rise; step 0 takes peak / warmup
  std::int64_t steps = 0;   // where the decay ends
  Decay decay = Decay::cosine;
  double minimum_ratio = 0.1;  // of the peak, where the decay ends and after

  // Rate of 0-based `step`.
  [[nodiscard]] double at(std::int64_t step) const;
};

}  // namespace megalith
