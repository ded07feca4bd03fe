#include "train/learning_rate.h"

#include <algorithm>

#include "core/elementary_double.h"

namespace megalith {

LearningRateSchedule::LearningRateSchedule(const TrainConfig& config)
    : peak(config.optimizer.learning_rate),
      warmup(config.schedule.warmup),
      steps(config.schedule.steps),
      decay(config.schedule.decay),
      minimum_ratio(config.schedule.minimum_ratio) {}

double LearningRateSchedule::at(std::int64_t step) const {
  if (step < warmup) return peak * (static_cast<double>(step + 1) / static_cast<double>(warmup));
  if (decay == LearningRateDecay::constant) return peak;
  const std::int64_t span = std::max<std::int64_t>(steps - warmup, 1);
  const double progress = std::min(static_cast<double>(step - warmup) / static_cast<double>(span), 1.0);
  const double share =
      decay == LearningRateDecay::linear ? 1.0 - progress : 0.5 * (1.0 + exact_cos_two_pi(0.5 * progress));
  return peak * (minimum_ratio + (1.0 - minimum_ratio) * share);
}

}  // namespace megalith
