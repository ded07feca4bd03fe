// Whole training steps of one rank, data and optimizer included.
#pragma once

#include <memory>

#include "harness.h"
#include "train/trainer.h"

namespace megalith::bench {

// Endless text of the config's vocabulary.
inline std::unique_ptr<Dataset> dataset_of(const TrainConfig& config) {
  return make_synthetic_dataset(config.model.vocabulary, config.batch.sequence, config.seed, false);
}

inline Timing time_steps(const TrainConfig& config, Device& device, const Options& options) {
  const std::unique_ptr<Dataset> data = dataset_of(config);
  Trainer trainer(config, device, *data);
  std::int64_t step = 0;
  return take_turns({{"step", 1, [&] { trainer.run_step(step++); }}}, options)[0];
}

}  // namespace megalith::bench
