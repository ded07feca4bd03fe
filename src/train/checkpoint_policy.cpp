#include "train/checkpoint_policy.h"

#include <utility>

#include "run/best_checkpoint.h"
#include "run/checkpoint_store.h"

namespace megalith {

CheckpointPolicy::CheckpointPolicy(const TrainConfig& config, std::filesystem::path checkpoints)
    : config_(config), checkpoints_(std::move(checkpoints)) {}

// The first set is data.held_out or, without one, the first of data.more_held_out.
std::string CheckpointPolicy::measure() const {
  const DataConfig& data = config_.data;
  const bool other = data.held_out.empty() && !data.more_held_out.empty();
  return fmt::format("{} sequences of {}", config_.validation.sequences,
                     other ? data.more_held_out.front() : data.held_out);
}

void CheckpointPolicy::resume_after(std::int64_t step) {
  if (!config_.checkpoint.keep_best) return;
  const BestGood best = best_good_checkpoint(checkpoints_, measure(), step);
  if (best.checkpoint) best_ = {.step = best.checkpoint->facts().step, .loss = best.loss};
}

void CheckpointPolicy::validated(std::int64_t step, double loss) {
  last_ = {.step = step, .loss = loss};
}

bool CheckpointPolicy::improved_at(std::int64_t step) const {
  if (!config_.checkpoint.keep_best || !last_ || last_->step != step) return false;
  return !best_ || last_->loss < best_->loss;
}

std::map<std::string, std::string> CheckpointPolicy::notes(std::int64_t step) const {
  CheckpointFacts facts;
  if (last_ && last_->step == step) put_held_out({.loss = last_->loss, .measure = measure()}, facts);
  return facts.notes;
}

bool CheckpointPolicy::stays(std::int64_t step) const {
  const std::int64_t every = config_.checkpoint.keep_every;
  if (every > 0 && step % every == 0) return true;
  return config_.checkpoint.keep_best && best_ && best_->step == step;
}

void CheckpointPolicy::saved(std::int64_t step) {
  if (improved_at(step)) best_ = last_;
  if (config_.checkpoint.keep == 0) return;
  prune_checkpoints(checkpoints_, static_cast<int>(config_.checkpoint.keep),
                    [this](std::int64_t other) { return stays(other); });
}

}  // namespace megalith
