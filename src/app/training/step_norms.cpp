#include "app/training/step_norms.h"

#include <algorithm>

namespace megalith::app {

StepNorms::StepNorms(const TrainConfig& config, Trainer& trainer) : config_(config), trainer_(trainer) {
  if (config.metrics.norms_every > 0)
    meter_.emplace(trainer.parameters(), config.model.layers, trainer.mesh().world());
}

bool StepNorms::due(std::int64_t step) const {
  return meter_ && step % config_.metrics.norms_every == 0;
}

bool StepNorms::begin(std::int64_t step) {
  if (!due(step)) return false;
  meter_->before_step();
  return true;
}

std::optional<std::vector<LayerNorms>> StepNorms::end(const LedgerLine& line) const {
  if (!due(line.step) || line.skipped) return std::nullopt;
  const GradientScale scale{.shift = gradient_shift(config_.numerics.batch_tokens_max),
                            .divisor = std::max<std::int64_t>(line.loss_tokens, 1)};
  return meter_->after_step(trainer_.device(), scale);
}

}  // namespace megalith::app
