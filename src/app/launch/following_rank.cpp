#include "app/launch/following_rank.h"

#include <algorithm>

#include "app/interrupt.h"
#include "app/training/samples.h"

namespace megalith::app {

FollowingRank::FollowingRank(const TrainConfig& config, Trainer& trainer, const DataSources& data)
    : config_(config), trainer_(trainer), data_(data) {
  if (config.metrics.norms_every > 0)
    norms_.emplace(trainer.parameters(), config.model.layers, trainer.mesh().world());
}

bool FollowingRank::norms_due(std::int64_t step) const {
  return norms_ && step % config_.metrics.norms_every == 0;
}

void FollowingRank::step_begins(std::int64_t step) {
  if (norms_due(step)) norms_->before_step();
}

void FollowingRank::step_done(const LedgerLine& line) {
  if (!norms_due(line.step) || line.skipped) return;
  const GradientScale scale{.shift = gradient_shift(config_.numerics.batch_tokens_max),
                            .divisor = std::max<std::int64_t>(line.loss_tokens, 1)};
  static_cast<void>(norms_->after_step(trainer_.device(), scale));
}

void FollowingRank::sample_due(std::int64_t step) {
  draw_sample(config_, trainer_, data_, step);
}

bool FollowingRank::stop_requested() {
  return interrupted();
}

}  // namespace megalith::app
