// The models that benchmarks train and sample, as configs. Weights and compute are those of the defaults:
// bf16 with fp32 masters.
#pragma once

#include <cstdint>

#include "train/train_config.h"

namespace megalith::bench {

struct ModelShape {
  const char* name;
  std::int64_t layers, hidden, heads, vocabulary;
  // Of a Llama: the inner width of its gated feed-forward part, and its key/value heads. 0: a GPT-2.
  std::int64_t gated = 0, kv_heads = 0;
  bool tied = true;  // the output weight is the token table
};

inline constexpr ModelShape kGpt2{"gpt2-124m", 12, 768, 12, 50257};
inline constexpr ModelShape kLlama160m{"llama-160m", 12, 768, 12, 32000, 3072, 12, false};
inline constexpr ModelShape kQwen2{"qwen2-0.5b", 24, 896, 14, 151936, 4864, 2};
inline constexpr ModelShape kSmall{"small", 6, 384, 6, 4096};
inline constexpr ModelShape kQuickstart{"quickstart", 4, 256, 4, 4096};

// Steps of so many sequences, all of them in one micro batch where nothing else is said. Resolved.
inline TrainConfig training_of(const ModelShape& shape, std::int64_t sequences, std::int64_t sequence,
                               std::int64_t micro = 0) {
  TrainConfig config;
  config.model.layers = shape.layers;
  config.model.hidden = shape.hidden;
  config.model.heads = shape.heads;
  config.model.sequence = sequence;
  config.model.vocabulary = shape.vocabulary;
  if (shape.gated > 0) {
    config.model.feed_forward = shape.gated;
    config.model.kv_heads = shape.kv_heads;
    config.model.norm = Norm::rms;
    config.model.positions = Positions::rotary;
    config.model.activation = Activation::swiglu;
    config.model.biases = false;
    config.model.tied_output = shape.tied;
  }
  config.batch = {.global = sequences, .micro = micro > 0 ? micro : sequences, .sequence = sequence};
  resolve(config);
  return config;
}

}  // namespace megalith::bench
