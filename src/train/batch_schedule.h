// Which samples a step reads: a pure function of the step, so that a run may stop and go on anywhere.
#pragma once

#include <cstdint>

#include "train/train_config.h"

namespace megalith {

// Step s reads samples [first_sample(s), first_sample(s) + sequences(s)); samples are numbered without gaps.
class BatchSchedule {
 public:
  explicit BatchSchedule(const BatchConfig& batch);

  // Of 0-based `step`.
  [[nodiscard]] std::int64_t sequences(std::int64_t step) const;
  // Sequences and tokens that the steps before `step` read.
  [[nodiscard]] std::int64_t first_sample(std::int64_t step) const;
  [[nodiscard]] std::int64_t tokens_before(std::int64_t step) const { return first_sample(step) * sequence_; }
  // The fewest steps that read so much, or more.
  [[nodiscard]] std::int64_t steps_for_samples(std::int64_t samples) const;
  [[nodiscard]] std::int64_t steps_for_tokens(std::int64_t tokens) const;

 private:
  std::int64_t global_;
  std::int64_t sequence_;  // tokens
};

}  // namespace megalith
