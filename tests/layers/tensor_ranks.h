// A small model trained by T tensor ranks as threads, and everything that must be equal to one rank's.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/faults/faulty_communicator.h"
#include "comm/operation_counts.h"
#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "device/cpu/cpu_device.h"
#include "model/model_fixture.h"

namespace megalith::test {

// Shapes of shaped_model with eight query heads, so that up to eight ranks share them.
inline ModelConfig shared_model(const std::string& shape) {
  const bool llama = shape.starts_with("llama");
  ModelConfig config = shaped_model(llama ? "llama" : shape);
  config.vocabulary = shape == "gpt" || shape == "llama_1" ? 509 : 512;
  config.hidden = 64;
  config.heads = 8;
  config.head_size = 8;
  config.feed_forward = 96;
  config.sequence = 32;
  if (shape.starts_with("gpt") || shape == "neox") {
    config.kv_heads = 8;
    return config;
  }
  config.kv_heads = shape == "llama_1" ? 1 : 2;
  config.head_norms = shape == "llama_1" || shape == "qwen";
  if (shape == "llama_1") config.attention_window = 7;
  if (shape == "qwen") config.tied_output = false;
  config.rotary = {};
  return config;
}
inline constexpr const char* kSharedShapes[] = {"gpt",     "gpt_untied", "neox",  "llama_2",
                                                "llama_1", "qwen",       "capped"};

struct RankRun {
  ModelConfig config;
  DType compute = DType::f32;
  int ranks = 1;
  bool sequence_parallel = false;
  RecomputePlan recompute = {};
  bool deferred = false;   // weight halves wait for the end of the micro batch
  std::int64_t micro = 8;  // sequences
  std::optional<PlantedFault> fault = {};
  const char* poisoned = nullptr;  // a parameter whose last element is infinite
};

// What one rank computes with. Arenas are exactly as large as was measured.
class TensorRank {
 public:
  TensorRank(const RankRun& run, Communicator& communicator)
      : run_(run),
        sharing_{.place = {communicator.size(), communicator.rank()},
                 .sequence_parallel = run.sequence_parallel},
        group_(communicator, static_cast<int>(run.config.kv_heads)),
        profile_(small_profile(run.compute, 32)),
        needs_(measure_micro_batch(run.config, profile_, run.micro, 32, run.recompute, sharing_)),
        device_(cpu::make_device(1, cpu::available_isas().back())),
        parameters(Transformer::specs(run.config, profile_, sharing_), run.compute, Parameters::Use::training,
                   sharing_.place),
        transformer(run.config, profile_, parameters, run.recompute, sharing_),
        stash_arena_("stash", needs_.stash_bytes),
        workspace_("workspace", needs_.workspace_bytes),
        waiting_arena_("waiting weight halves", run.deferred ? std::size_t{1} << 24 : 64),
        waiting_(waiting_arena_, 64),
        stash_(stash_arena_, transformer.stash_depth()) {
    parameters.initialise(1234);
    if (run.poisoned != nullptr) {
      const Parameter& p = parameters.named(run.poisoned);
      const float infinite[] = {INFINITY};
      Parameters::set_row(p, p.spec.rows - 1, p.spec.columns - 1, infinite);
    }
    parameters.refresh_working(*device_);
    parameters.zero_gradients(*device_);
  }

  [[nodiscard]] StepContext step(const MicroBatch& batch, bool training = true) {
    return {.device = *device_,
            .profile = profile_,
            .workspace = workspace_,
            .batch = batch,
            .seed = 5,
            .training = training,
            .z_loss = 1e-3f,
            .gradient_shift = gradient_shift(profile_.batch_tokens_max),
            .verdict = &verdict,
            .tensor = sharing_.place.size > 1 ? &group_ : nullptr};
  }
  LossTotals train(const Batch& batch, std::vector<float>& log_probability) {
    LossTotals totals;
    log_probability.resize(static_cast<std::size_t>(batch.sequences * batch.sequence));
    for (std::int64_t first = 0; first < batch.sequences; first += run_.micro) {
      const MicroBatch micro = batch.micro(first, run_.micro);
      StepContext context = step(micro);
      // The first micro batch has them in the workspace, as was measured.
      if (first > 0) context.log_probability = log_probability.data() + first * batch.sequence;
      if (run_.deferred) context.deferred = &waiting_;
      transformer.forward_backward(context, stash_, totals);
      if (run_.deferred) waiting_.run(context);
    }
    if (run_.deferred) return totals;  // weight halves have memory of their own then
    EXPECT_EQ(workspace_.peak(), needs_.workspace_bytes) << "measured and used";
    EXPECT_EQ(stash_arena_.peak(), needs_.stash_bytes) << "measured and used";
    return totals;
  }
  std::vector<float> evaluate(const MicroBatch& micro) {
    std::vector<float> result(static_cast<std::size_t>(micro.tokens()));
    transformer.evaluate(step(micro, false), stash_, Tensor(result.data(), DType::f32, {micro.tokens()}));
    return result;
  }
  [[nodiscard]] const NumericsProfile& profile() const { return profile_; }
  [[nodiscard]] TensorPlace place() const { return sharing_.place; }
  [[nodiscard]] Device& device() { return *device_; }
  [[nodiscard]] const TensorGroup* group() const { return sharing_.place.size > 1 ? &group_ : nullptr; }

 private:
  RankRun run_;
  TensorSharing sharing_;
  TensorGroup group_;
  NumericsProfile profile_;
  MicroBatchNeeds needs_;
  std::unique_ptr<Device> device_;

 public:
  Parameters parameters;
  Transformer transformer;
  Verdict verdict;

 private:
  Arena stash_arena_;
  Arena workspace_;
  Arena waiting_arena_;
  DeferredWeights waiting_;
  Stash stash_;
};

// Of the whole model.
struct SharedOutcome {
  std::int64_t loss = 0, tokens = 0;
  bool bad = false;
  std::vector<std::uint32_t> log_probability, evaluated;
  std::vector<std::int64_t> gradients;  // by logical index
  // Bytes that rank 0 is given by the others in training, by all_gather and by all_to_all.
  std::int64_t gathered = 0, crossed = 0;
};

inline std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

// Gradients by logical index, as far as this rank counts them or has a part of their sum.
inline std::vector<std::int64_t> counted_gradients(const Parameters& parameters, std::int64_t elements) {
  std::vector<std::int64_t> gradients(static_cast<std::size_t>(elements), 0);
  for (const Parameter& p : parameters.all()) {
    if (!p.counted && !p.spec.summed_over_tensor) continue;
    for (const ParameterPiece& piece : p.pieces) {
      const Tensor local = piece.of(p.gradient);
      for (std::int64_t r = 0; r < piece.rows; ++r) {
        std::copy_n(local.row<std::int64_t>(r), piece.columns,
                    gradients.begin() + static_cast<std::ptrdiff_t>(p.index_of(piece)) + r * p.spec.columns);
      }
    }
  }
  return gradients;
}

// One rank's outcome, gradients as far as it has them.
inline SharedOutcome outcome_of_rank(const RankRun& run, const Batch& batch, Communicator& communicator) {
  set_floating_point_mode();
  OperationCounts counts;
  const std::unique_ptr<Communicator> counted = observe(communicator, counts);
  const std::unique_ptr<Communicator> faulty = run.fault ? with_fault(*counted, *run.fault) : nullptr;
  TensorRank rank(run, faulty ? *faulty : *counted);
  std::vector<float> log_probability;
  const LossTotals totals = rank.train(batch, log_probability);
  SharedOutcome outcome{.loss = totals.loss, .tokens = totals.tokens, .bad = rank.verdict.bad()};
  outcome.gathered = counts.of("", OperationKind::all_gather).sent;
  outcome.crossed = counts.of("", OperationKind::all_to_all).sent;
  outcome.log_probability = bits_of(log_probability);
  outcome.gradients = counted_gradients(rank.parameters, rank.parameters.logical_count());
  outcome.evaluated = bits_of(rank.evaluate(batch.micro(0, run.micro)));
  return outcome;
}

// What all ranks have together; whatever each has must be the same on all.
inline SharedOutcome outcome_of(const RankRun& run, const Batch& batch) {
  std::vector<SharedOutcome> of_ranks(static_cast<std::size_t>(run.ranks));
  run_ranks(run.ranks, [&](Communicator& world) {
    of_ranks[static_cast<std::size_t>(world.rank())] = outcome_of_rank(run, batch, world);
  });
  SharedOutcome whole = of_ranks[0];
  for (std::size_t r = 1; r < of_ranks.size(); ++r) {
    const SharedOutcome& other = of_ranks[r];
    EXPECT_EQ(other.loss, whole.loss);
    EXPECT_EQ(other.tokens, whole.tokens);
    EXPECT_EQ(other.log_probability, whole.log_probability);
    EXPECT_EQ(other.evaluated, whole.evaluated);
    whole.bad = whole.bad || other.bad;
    for (std::size_t i = 0; i < whole.gradients.size(); ++i) whole.gradients[i] += other.gradients[i];
  }
  return whole;
}

}  // namespace megalith::test
