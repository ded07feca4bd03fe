#include "train/batch_schedule.h"

#include <algorithm>

namespace megalith {
namespace {

// REQUIRES: whole >= 0, part >= 1.
std::int64_t rounded_up(std::int64_t whole, std::int64_t part) {
  return whole / part + (whole % part != 0 ? 1 : 0);
}

}  // namespace

std::int64_t ramp_rises(const BatchConfig& batch) {
  if (batch.ramp_start == 0 || batch.ramp_start >= batch.global || batch.ramp_increment == 0) return 0;
  if (batch.ramp_samples == 0 && batch.ramp_tokens == 0) return 0;
  const std::int64_t rise = batch.global - batch.ramp_start;
  if (rise % batch.ramp_increment != 0 || rise / batch.ramp_increment > kMostRampRises) return 0;
  return rise / batch.ramp_increment;
}

BatchSchedule::BatchSchedule(const BatchConfig& batch)
    : sequence_(std::max<std::int64_t>(batch.sequence, 1)) {
  stages_.push_back({.sequences = batch.global});
  if (ramp_rises(batch) > 0) add_ramp(batch);
}

void BatchSchedule::add_ramp(const BatchConfig& batch) {
  stages_.clear();
  const std::int64_t rises = ramp_rises(batch);
  const std::int64_t length = batch.ramp_tokens > 0 ? batch.ramp_tokens : batch.ramp_samples;
  const std::int64_t per_sample = batch.ramp_tokens > 0 ? sequence_ : 1;
  Stage next{.sequences = batch.ramp_start};
  for (std::int64_t rise = 1; rise <= rises; ++rise, next.sequences += batch.ramp_increment) {
    // Steps that begin before this sample come before the rise. A step may be longer than a stage: then the
    // stage has no steps and the size rises twice at once.
    const std::int64_t end = rounded_up(rounded_up(rise * length, rises), per_sample);
    if (next.first_sample >= end) continue;
    stages_.push_back(next);
    const std::int64_t steps = rounded_up(end - next.first_sample, next.sequences);
    next.first_step += steps;
    next.first_sample += steps * next.sequences;
  }
  stages_.push_back(next);
}

const BatchSchedule::Stage& BatchSchedule::stage_of(std::int64_t step) const {
  const auto after =
      std::upper_bound(stages_.begin(), stages_.end(), step,
                       [](std::int64_t wanted, const Stage& stage) { return wanted < stage.first_step; });
  return *std::prev(after);
}

std::int64_t BatchSchedule::sequences(std::int64_t step) const {
  return stage_of(step).sequences;
}

std::int64_t BatchSchedule::first_sample(std::int64_t step) const {
  const Stage& stage = stage_of(step);
  return stage.first_sample + (step - stage.first_step) * stage.sequences;
}

std::int64_t BatchSchedule::steps_for_samples(std::int64_t samples) const {
  if (samples <= 0) return 0;
  const auto after =
      std::lower_bound(stages_.begin(), stages_.end(), samples,
                       [](const Stage& stage, std::int64_t wanted) { return stage.first_sample < wanted; });
  const Stage& stage = *std::prev(after);
  return stage.first_step + rounded_up(samples - stage.first_sample, stage.sequences);
}

std::int64_t BatchSchedule::steps_for_tokens(std::int64_t tokens) const {
  return steps_for_samples(rounded_up(tokens, sequence_));
}

}  // namespace megalith
