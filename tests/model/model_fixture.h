// A small model with everything it needs to take a step, for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/philox.h"
#include "device/cpu/cpu_device.h"
#include "model/transformer.h"

namespace megalith::test {

inline ModelConfig small_model(std::int64_t vocabulary = 61) {
  ModelConfig config;
  config.layers = 2;
  config.hidden = 32;
  config.heads = 4;
  config.feed_forward = 128;
  config.sequence = 48;
  config.vocabulary = vocabulary;
  config.dropout = 0;
  config.attention_dropout = 0;
  resolve(config);
  return config;
}

// Every part that a shape may have, in a few models of the kinds people train.
inline constexpr const char* kShapes[] = {"gpt",     "gpt_untied", "gpt_plain", "llama",
                                          "mistral", "qwen",       "neox",      "capped"};

inline ModelConfig shaped_model(const std::string& shape) {
  ModelConfig config = small_model(shape == "gpt_untied" ? 64 : 61);
  if (shape == "gpt_untied") config.tied_output = false;
  if (shape == "gpt_plain") {
    config.biases = false;
    config.activation = Activation::gelu_erf;
  }
  if (shape.starts_with("gpt")) return config;
  config.positions = Positions::rotary;
  if (shape == "neox") {
    config.parallel_residual = true;
    config.activation = Activation::gelu_erf;
    config.rotary.share = 0.5;
    config.tied_output = false;
    return config;
  }
  config.norm = Norm::rms;
  config.biases = false;
  config.activation = Activation::swiglu;
  config.feed_forward = 72;
  config.kv_heads = 2;
  if (shape == "llama") {
    config.tied_output = false;
    config.rotary = {.base = 500,
                     .scaling = RotaryScaling::llama3,
                     .factor = 4,
                     .low_frequency = 0.5,
                     .high_frequency = 2,
                     .original_sequence = 24};
  }
  if (shape == "mistral") config.attention_window = 7;
  if (shape == "qwen") {
    config.qkv_biases = true;
    config.head_norms = true;
    config.head_size = 12;
    config.rotary.scaling = RotaryScaling::linear;
    config.rotary.factor = 2;
  }
  if (shape == "capped") {
    config.kv_heads = 1;
    config.activation = Activation::geglu;
    config.logit_softcap = 2;
    config.parallel_residual = true;
  }
  return config;
}

inline NumericsProfile small_profile(DType compute, std::int64_t grain) {
  NumericsProfile profile;
  profile.compute = compute;
  profile.grain = grain;
  profile.key_block = 16;
  profile.attention_split = 32;
  profile.vocab_block = 16;
  profile.batch_tokens_max = 4096;
  return profile;
}

// A global batch in plain vectors; micro() cuts sequences out of it.
struct Batch {
  std::int64_t sequences = 0, sequence = 0;
  std::vector<std::int32_t> ids, targets, document_start, positions;
  std::vector<std::uint8_t> loss_mask;
  std::vector<std::int64_t> samples;

  [[nodiscard]] MicroBatch micro(std::int64_t first, std::int64_t count) const {
    const std::size_t t = static_cast<std::size_t>(first * sequence);
    return {.sequences = count,
            .sequence = sequence,
            .ids = ids.data() + t,
            .targets = targets.data() + t,
            .loss_mask = loss_mask.data() + t,
            .document_start = document_start.data() + t,
            .positions = positions.data() + t,
            .samples = samples.data() + first};
  }
};

inline std::uint32_t draw(std::uint32_t i, std::uint32_t j) {
  return philox({i, j, 0, 0}, {77, 7})[0];
}

// Random ids, ragged loss masks (sequence 1 wholly masked when there is one), documents that start inside
// sequences.
inline Batch random_batch(std::int64_t sequences, std::int64_t sequence, std::int64_t vocabulary) {
  Batch batch{.sequences = sequences, .sequence = sequence};
  for (std::int64_t b = 0; b < sequences; ++b) {
    batch.samples.push_back(1000 + b);
    std::int32_t start = 0;
    for (std::int64_t s = 0; s < sequence; ++s) {
      const auto i = static_cast<std::uint32_t>(b);
      const auto j = static_cast<std::uint32_t>(s);
      if (s > 0 && draw(i, 3 * j) % 11 == 0) start = static_cast<std::int32_t>(s);
      batch.ids.push_back(
          static_cast<std::int32_t>(draw(i, 3 * j + 1) % static_cast<std::uint32_t>(vocabulary)));
      batch.targets.push_back(
          static_cast<std::int32_t>(draw(i, 3 * j + 2) % static_cast<std::uint32_t>(vocabulary)));
      batch.document_start.push_back(start);
      batch.positions.push_back(static_cast<std::int32_t>(s) - start);
      batch.loss_mask.push_back(b == 1 ? 0 : (s < sequence - b % 5 ? 1 : 0));
    }
  }
  return batch;
}

// Parameters, transformer, arenas and device of one model.
class Machine {
 public:
  Machine(const ModelConfig& config, const NumericsProfile& profile, std::int64_t micro_sequences,
          std::int64_t sequence, int num_threads = 1, cpu::Isa isa = cpu::available_isas().back(),
          const RecomputePlan& recompute = {})
      : profile_(profile),
        needs_(measure_micro_batch(config, profile, micro_sequences, sequence, recompute)),
        device(cpu::make_device(num_threads, isa)),
        parameters(Transformer::specs(config, profile), profile, Parameters::Use::training),
        transformer(config, profile, parameters, recompute),
        stash_arena_("stash", needs_.stash_bytes),
        workspace_("workspace", needs_.workspace_bytes),
        stash_(stash_arena_, transformer.stash_depth()) {
    parameters.initialise(1234);
    parameters.refresh_working(*device);
    parameters.zero_gradients(*device);
  }

  [[nodiscard]] StepContext step(const MicroBatch& batch, bool training = true) {
    return {.device = *device,
            .profile = profile_,
            .workspace = workspace_,
            .batch = batch,
            .seed = 5,
            .training = training,
            .z_loss = z_loss,
            .gradient_shift = gradient_shift(profile_.batch_tokens_max),
            .verdict = &verdict};
  }
  LossTotals forward_backward(const Batch& batch, std::int64_t micro_sequences) {
    LossTotals totals;
    for (std::int64_t first = 0; first < batch.sequences; first += micro_sequences) {
      const MicroBatch micro = batch.micro(first, micro_sequences);
      transformer.forward_backward(step(micro), stash_, totals);
    }
    return totals;
  }
  std::vector<float> evaluate(const MicroBatch& micro) {
    std::vector<float> result(static_cast<std::size_t>(micro.tokens()));
    transformer.evaluate(step(micro, false), stash_, Tensor(result.data(), DType::f32, {micro.tokens()}));
    return result;
  }
  [[nodiscard]] std::vector<std::int64_t> gradients() const {
    std::vector<std::int64_t> all;
    for (const Parameter& p : parameters.all()) {
      const auto* g = p.gradient.as<std::int64_t>();
      all.insert(all.end(), g, g + p.gradient.count());
    }
    return all;
  }

 private:
  NumericsProfile profile_;
  MicroBatchNeeds needs_;

 public:
  std::unique_ptr<Device> device;
  Parameters parameters;
  Transformer transformer;
  Verdict verdict;
  float z_loss = 0;

 private:
  Arena stash_arena_;
  Arena workspace_;
  Stash stash_;
};

}  // namespace megalith::test
