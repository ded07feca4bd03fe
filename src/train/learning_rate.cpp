#include "train/learning_rate.h"

#include <algorithm>
#include <cmath>

#include "core/elementary_double.h"

namespace megalith {
namespace {

bool counts_tokens(const ScheduleConfig& schedule) {
  switch (schedule.decay) {
    case LearningRateDecay::wsd:
      return schedule.cooldown_tokens > 0;
    case LearningRateDecay::inverse_sqrt:
      return schedule.warmup_tokens > 0;
    case LearningRateDecay::cosine:
    case LearningRateDecay::linear:
    case LearningRateDecay::constant:
      break;
  }
  if (schedule.horizon_tokens > 0 || schedule.horizon_steps > 0) return schedule.horizon_tokens > 0;
  return schedule.length.tokens > 0 || schedule.length.epochs > 0;
}

double cosine_share(double progress) {
  return 0.5 * (1.0 + exact_cos_two_pi(0.5 * progress));
}

}  // namespace

LearningRateSchedule::LearningRateSchedule(const TrainConfig& config)
    : batches_(config.batch),
      peak_(config.optimizer.learning_rate),
      schedule_(config.schedule),
      decay_counts_tokens_(counts_tokens(schedule_)) {
  const ScheduleConfig& s = schedule_;
  const std::int64_t end_steps = s.horizon_steps > 0 ? s.horizon_steps : s.steps;
  if (decay_counts_tokens_) {
    begin_ = s.warmup_tokens > 0 ? s.warmup_tokens : batches_.tokens_before(s.warmup_steps);
    end_ = s.horizon_tokens > 0 ? s.horizon_tokens : batches_.tokens_before(end_steps);
  } else {
    begin_ = s.warmup_tokens > 0 ? batches_.steps_for_tokens(s.warmup_tokens) : s.warmup_steps;
    end_ = s.horizon_tokens > 0 ? batches_.steps_for_tokens(s.horizon_tokens) : end_steps;
  }
}

double LearningRateSchedule::progress(std::int64_t position, std::int64_t begin) const {
  const std::int64_t span = std::max<std::int64_t>(end_ - begin, 1);
  return std::min(static_cast<double>(position - begin) / static_cast<double>(span), 1.0);
}

// Of the way from the lowest rate to the peak. REQUIRES: a decay towards the lowest rate.
double LearningRateSchedule::decay_share(std::int64_t position) const {
  if (schedule_.decay == LearningRateDecay::linear) return 1.0 - progress(position, begin_);
  if (schedule_.decay == LearningRateDecay::cosine) return cosine_share(progress(position, begin_));
  const std::int64_t cooldown = decay_counts_tokens_ ? schedule_.cooldown_tokens : schedule_.cooldown_steps;
  const std::int64_t stable_end = std::max(end_ - cooldown, begin_);
  if (position < stable_end) return 1.0;
  const double done = progress(position, stable_end);
  switch (schedule_.cooldown_shape) {
    case CooldownShape::linear:
      return 1.0 - done;
    case CooldownShape::cosine:
      return cosine_share(done);
    case CooldownShape::square_root:
      return 1.0 - std::sqrt(done);
  }
  return 0.0;
}

double LearningRateSchedule::at(std::int64_t step) const {
  const ScheduleConfig& s = schedule_;
  // The rise counts the step itself and what it reads, so that the first step already learns; the decay does
  // not, so that it begins at the peak.
  if (step < s.warmup_steps) {
    return peak_ * (static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps));
  }
  if (s.warmup_tokens > 0 && batches_.tokens_before(step) < s.warmup_tokens) {
    const std::int64_t read = std::min(batches_.tokens_before(step + 1), s.warmup_tokens);
    return peak_ * (static_cast<double>(read) / static_cast<double>(s.warmup_tokens));
  }
  if (s.decay == LearningRateDecay::constant) return peak_;
  const std::int64_t position = decay_counts_tokens_ ? batches_.tokens_before(step) : step;
  if (s.decay == LearningRateDecay::inverse_sqrt) {
    const double share = std::sqrt(static_cast<double>(std::max<std::int64_t>(begin_, 1)) /
                                   static_cast<double>(std::max<std::int64_t>(position, 1)));
    return peak_ * std::max(share, s.minimum_ratio);
  }
  return peak_ * (s.minimum_ratio + (1.0 - s.minimum_ratio) * decay_share(position));
}

}  // namespace megalith
