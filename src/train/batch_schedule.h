// Which samples a step reads: a pure function of the step, so that a run may stop and go on anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "train/train_config.h"

namespace megalith {

// Rises of a ramp; 0 for a config without one and for one that check_ramp refuses.
std::int64_t ramp_rises(const BatchConfig& batch);
inline constexpr std::int64_t kMostRampRises = 4096;

// Step s reads samples [first_sample(s), first_sample(s) + sequences(s)); samples are numbered without gaps.
//
// A ramp from ramp_start to global by ramp_increment has n = (global - ramp_start) / ramp_increment rises. A
// step that begins after c samples has ramp_start + ramp_increment * floor(c n / ramp_samples) sequences,
// from c = ramp_samples on global: what Megatron's --rampup-batch-size says, in integers instead of floats.
// With ramp_tokens c counts tokens.
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

  // Consecutive steps of one size. The first stage begins with step 0, the last one never ends.
  struct Stage {
    std::int64_t first_step = 0;
    std::int64_t first_sample = 0;
    std::int64_t sequences = 0;  // of each of its steps
  };
  [[nodiscard]] const std::vector<Stage>& stages() const { return stages_; }
  [[nodiscard]] bool ramps() const { return stages_.size() > 1; }

 private:
  void add_ramp(const BatchConfig& batch);
  [[nodiscard]] const Stage& stage_of(std::int64_t step) const;

  std::vector<Stage> stages_;
  std::int64_t sequence_;  // tokens
};

}  // namespace megalith
