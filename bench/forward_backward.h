// A model, or a tensor rank's share of it, with all that forward and backward of one micro batch take:
// weights and gradients, and no optimizer. Moments are laid out and never touched, so they take no memory.
#pragma once

#include "model/transformer.h"
#include "random_tokens.h"
#include "train/train_config.h"

namespace megalith::bench {

class ForwardBackward {
 public:
  // Of the config's micro batch of random tokens. `device` outlives it.
  ForwardBackward(const TrainConfig& config, Device& device, const TensorSharing& sharing = {})
      : config_(config),
        device_(device),
        needs_(measure(config, sharing)),
        tokens_(config.batch.micro, config.batch.sequence, config.model.vocabulary),
        parameters_(Transformer::specs(config.model, config.numerics, sharing), config.numerics.compute,
                    Parameters::Use::training, sharing.place),
        transformer_(config.model, config.numerics, parameters_, {}, sharing),
        stash_arena_("stash", needs_.stash_bytes),
        workspace_("workspace", needs_.workspace_bytes),
        stash_(stash_arena_, transformer_.stash_depth()) {
    parameters_.initialise(1, device.num_threads());
    parameters_.refresh_working(device);
  }
  ForwardBackward(const ForwardBackward&) = delete;
  ForwardBackward& operator=(const ForwardBackward&) = delete;

  // `group`: of the tensor ranks; null where the model is whole.
  void run(const TensorGroup* group = nullptr) {
    LossTotals totals;
    transformer_.forward_backward({.device = device_,
                                   .profile = config_.numerics,
                                   .workspace = workspace_,
                                   .batch = tokens_.micro_batch(0, config_.batch.micro),
                                   .training = true,
                                   .gradient_shift = gradient_shift(config_.numerics.batch_tokens_max),
                                   .verdict = &verdict_,
                                   .tensor = group},
                                  stash_, totals);
  }

  static MicroBatchNeeds measure(const TrainConfig& config, const TensorSharing& sharing = {}) {
    return measure_micro_batch(config.model, config.numerics, config.batch.micro, config.batch.sequence, {},
                               sharing);
  }

 private:
  TrainConfig config_;
  Device& device_;
  MicroBatchNeeds needs_;
  RandomTokens tokens_;
  Parameters parameters_;
  Transformer transformer_;
  Arena stash_arena_, workspace_;
  Stash stash_;
  Verdict verdict_;
};

}  // namespace megalith::bench
