// Norms of the steps that metrics.norms_every asks for. Every rank has its own, as they are collective.
#pragma once

#include <optional>
#include <vector>

#include "run/ledger.h"
#include "train/norm_meter.h"
#include "train/trainer.h"

namespace megalith::app {

class StepNorms {
 public:
  // Both outlive it.
  StepNorms(const TrainConfig& config, Trainer& trainer);

  // Before a step. True: it is one of those, and its parameters are remembered.
  bool begin(std::int64_t step);
  // After it, while the trainer has its gradients; nothing where it is none of those, or was a bad one.
  [[nodiscard]] std::optional<std::vector<LayerNorms>> end(const LedgerLine& line) const;

  [[nodiscard]] const NormMeter* meter() const { return meter_ ? &*meter_ : nullptr; }  // null: never asked

 private:
  [[nodiscard]] bool due(std::int64_t step) const;

  const TrainConfig& config_;
  Trainer& trainer_;
  std::optional<NormMeter> meter_;
};

}  // namespace megalith::app
