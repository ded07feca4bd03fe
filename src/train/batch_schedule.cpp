#include "train/batch_schedule.h"

#include <algorithm>

namespace megalith {
namespace {

// REQUIRES: whole >= 0, part >= 1.
std::int64_t rounded_up(std::int64_t whole, std::int64_t part) {
  return whole / part + (whole % part != 0 ? 1 : 0);
}

}  // namespace

BatchSchedule::BatchSchedule(const BatchConfig& batch)
    : global_(batch.global), sequence_(std::max<std::int64_t>(batch.sequence, 1)) {}

std::int64_t BatchSchedule::sequences(std::int64_t /*step*/) const {
  return global_;
}

std::int64_t BatchSchedule::first_sample(std::int64_t step) const {
  return step * global_;
}

std::int64_t BatchSchedule::steps_for_samples(std::int64_t samples) const {
  return rounded_up(samples, global_);
}

std::int64_t BatchSchedule::steps_for_tokens(std::int64_t tokens) const {
  return steps_for_samples(rounded_up(tokens, sequence_));
}

}  // namespace megalith
