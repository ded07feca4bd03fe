// The learning rate of a step, in own arithmetic: the same bits on every machine.
#pragma once

#include <cstdint>

#include "train/batch_schedule.h"
#include "train/train_config.h"

namespace megalith {

// A function of the step and of the tokens before it, which the batch schedule gives; nothing is carried from
// step to step. Warm-up and decay each count steps or tokens, as the config says. With a batch that never
// changes both give the same bits.
class LearningRateSchedule {
 public:
  explicit LearningRateSchedule(const TrainConfig& config);

  // Rate of 0-based `step`.
  [[nodiscard]] double at(std::int64_t step) const;

  // The stretch from the end of the warm-up to where the decay ends, in the decay's unit. Without a horizon
  // of its own the decay ends with the run, and counts what the run's length is given in.
  [[nodiscard]] bool decay_counts_tokens() const { return decay_counts_tokens_; }
  [[nodiscard]] std::int64_t decay_begin() const { return begin_; }
  [[nodiscard]] std::int64_t decay_end() const { return end_; }

 private:
  [[nodiscard]] double decay_share(std::int64_t position) const;
  [[nodiscard]] double progress(std::int64_t position, std::int64_t begin) const;

  BatchSchedule batches_;
  double peak_;
  ScheduleConfig schedule_;
  bool decay_counts_tokens_;
  std::int64_t begin_ = 0;
  std::int64_t end_ = 0;
};

}  // namespace megalith
