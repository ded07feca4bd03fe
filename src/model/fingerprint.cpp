#include "model/fingerprint.h"

#include <vector>

#include "core/digest.h"
#include "model/transformer.h"

namespace megalith {
namespace {

// Odd sizes, several key blocks and vocabulary blocks, dropout on: small, but through every edge.
ModelConfig gpt_probe(const NumericsProfile& profile) {
  ModelConfig config;
  config.layers = 1;
  config.hidden = 8 * profile.tree;
  config.heads = 2;
  config.feed_forward = 24 * profile.tree;
  config.sequence = 96;
  config.vocabulary = 509;
  config.dropout = 0.1;
  config.attention_dropout = 0.1;
  return config;
}

// What the first one does not call: RMS norms, rotary positions, grouped queries, a window, a gate, a cap.
ModelConfig llama_probe(const NumericsProfile& profile) {
  ModelConfig config = gpt_probe(profile);
  config.heads = 4;
  config.kv_heads = 2;
  config.head_size = 2 * profile.tree;
  config.norm = Norm::rms;
  config.biases = false;
  config.positions = Positions::rotary;
  config.activation = Activation::swiglu;
  config.head_norms = true;
  config.attention_window = 37;
  config.logit_softcap = 20;
  config.parallel_residual = true;
  config.tied_output = false;
  return config;
}

constexpr std::int64_t kSequences = 2;
constexpr std::int64_t kSequence = 96;

struct ProbeBatch {
  std::vector<std::int32_t> ids, targets, document_start, positions;
  std::vector<std::uint8_t> loss_mask;
  std::vector<std::int64_t> samples{3, 4};

  ProbeBatch() {
    for (std::int32_t t = 0; t < kSequences * kSequence; ++t) {
      const std::int32_t position = t % static_cast<std::int32_t>(kSequence);
      const std::int32_t start = position < 29 ? 0 : 29;
      ids.push_back(t * 7919 % 509);
      targets.push_back((t + 1) * 7919 % 509);
      document_start.push_back(start);
      positions.push_back(position - start);
      loss_mask.push_back(position == 28 ? 0 : 1);
    }
  }
  [[nodiscard]] MicroBatch view() const {
    return {.sequences = kSequences,
            .sequence = kSequence,
            .ids = ids.data(),
            .targets = targets.data(),
            .loss_mask = loss_mask.data(),
            .document_start = document_start.data(),
            .positions = positions.data(),
            .samples = samples.data()};
  }
};

// Adds the loss and every gradient of one step of a probe.
void digest_step(Device& device, const NumericsProfile& profile, ModelConfig config, Digester& digester) {
  resolve(config);
  const MicroBatchNeeds needs = measure_micro_batch(config, profile, kSequences, kSequence);
  Parameters parameters(Transformer::specs(config, profile), profile, Parameters::Use::training);
  parameters.initialise(1);
  parameters.refresh_working(device);
  const Transformer transformer(config, profile, parameters);
  Arena stash_arena("fingerprint activations", needs.stash_bytes);
  Arena workspace("fingerprint workspace", needs.workspace_bytes);
  Stash stash(stash_arena, transformer.stash_depth());
  const ProbeBatch data;
  const MicroBatch batch = data.view();
  Verdict verdict;
  LossTotals totals;
  transformer.forward_backward({.device = device,
                                .profile = profile,
                                .workspace = workspace,
                                .batch = batch,
                                .seed = 9,
                                .training = true,
                                .z_loss = 1e-4f,
                                .gradient_shift = gradient_shift(profile.batch_tokens_max),
                                .verdict = &verdict},
                               stash, totals);
  digester.update(&totals.loss, sizeof(totals.loss));
  for (const Parameter& p : parameters.all()) {
    digester.update(p.gradient.data, p.gradient.size_in_bytes());
  }
}

}  // namespace

std::uint64_t fingerprint(Device& device, const NumericsProfile& profile, std::string_view layout) {
  NumericsProfile probe = profile;
  probe.grain = kSequence;
  probe.batch_tokens_max = kSequences * kSequence;
  Digester digester;
  const std::string name = to_string(profile);
  digester.update(name.data(), name.size());
  if (profile.mode == NumericsMode::fast) digester.update(layout.data(), layout.size());
  digest_step(device, probe, gpt_probe(profile), digester);
  digest_step(device, probe, llama_probe(profile), digester);
  return digester.value();
}

}  // namespace megalith
