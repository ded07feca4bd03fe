// What is kept and what is computed again, done at once or later: memory and time change, bits do not.

#include <gtest/gtest.h>

#include <array>

#include "core/count_allocations.h"
#include "device/sim/simulated_device.h"
#include "model/model_fixture.h"

namespace megalith {
namespace {

using test::Batch;
using test::Machine;

constexpr std::int64_t kSequence = 32;
constexpr std::int64_t kMicro = 2;
constexpr int kLayers = 3;

struct Kind {
  const char* shape;
  DType compute;
  double dropout;
};

ModelConfig model_of(const Kind& kind) {
  ModelConfig config = test::shaped_model(kind.shape);
  config.layers = kLayers;
  config.dropout = kind.dropout;
  config.attention_dropout = kind.dropout;
  return config;
}

NumericsProfile profile_of(const Kind& kind) {
  return test::small_profile(kind.compute, kSequence);
}

std::vector<RecomputePlan> plans() {
  return {{},
          {.mode = Recompute::selective},
          {.mode = Recompute::full},
          {.mode = Recompute::selective, .blocks = 1},
          {.mode = Recompute::full, .blocks = 2}};
}

struct Outcome {
  std::int64_t loss = 0, tokens = 0;
  std::vector<std::int64_t> gradients;
  bool operator==(const Outcome&) const = default;
};

// The largest use of the stash and of the memory of weight halves, from the layers themselves.
struct Needs {
  std::size_t stash = 0, workspace = 0, weight_halves = 0;
};
Needs measure(const ModelConfig& config, const NumericsProfile& profile, const RecomputePlan& plan) {
  const Parameters parameters(Transformer::specs(config, profile), profile.compute,
                              Parameters::Use::measuring);
  const Transformer transformer(config, profile, parameters, plan);
  const std::unique_ptr<sim::SimulatedDevice> device = sim::make_device();
  Arena stash_arena = Arena::measuring("stash");
  Arena workspace = Arena::measuring("workspace");
  Arena halves_arena = Arena::measuring("weight halves");
  Stash stash(stash_arena, transformer.stash_depth());
  DeferredWeights halves(halves_arena, 64);
  const MicroBatch batch{.sequences = kMicro, .sequence = kSequence};
  LossTotals totals;
  transformer.forward_backward({.device = *device,
                                .profile = profile,
                                .workspace = workspace,
                                .batch = batch,
                                .training = true,
                                .deferred = &halves},
                               stash, totals);
  return {stash_arena.peak(), workspace.peak(), halves_arena.peak()};
}

// Activations and waiting weight halves of one micro batch in flight.
struct Slot {
  Slot(const Transformer& transformer, const Needs& needs)
      : stash_arena("stash", needs.stash),
        halves_arena("weight halves", needs.weight_halves),
        stash(stash_arena, transformer.stash_depth()),
        halves(halves_arena, 64) {}
  Arena stash_arena, halves_arena;
  Stash stash;
  DeferredWeights halves;
};

Outcome run_at_once(const Kind& kind, const Batch& batch, const RecomputePlan& plan) {
  Machine machine(model_of(kind), profile_of(kind), kMicro, kSequence, 2, cpu::available_isas().back(), plan);
  const LossTotals totals = machine.forward_backward(batch, kMicro);
  EXPECT_FALSE(machine.verdict.bad());
  return {totals.loss, totals.tokens, machine.gradients()};
}

// The weight halves of a micro batch wait until the next one's backward pass is done.
Outcome run_deferred(const Kind& kind, const Batch& batch, const RecomputePlan& plan) {
  const ModelConfig config = model_of(kind);
  const Needs needs = measure(config, profile_of(kind), plan);
  Machine machine(config, profile_of(kind), kMicro, kSequence, 2, cpu::available_isas().back(), plan);
  std::array<Slot, 2> slots = {Slot(machine.transformer, needs), Slot(machine.transformer, needs)};
  LossTotals totals;
  std::size_t i = 0;
  for (std::int64_t first = 0; first < batch.sequences; first += kMicro, i ^= 1) {
    const MicroBatch micro = batch.micro(first, kMicro);
    StepContext step = machine.step(micro);
    step.deferred = &slots[i].halves;
    machine.transformer.forward_backward(step, slots[i].stash, totals);
    EXPECT_FALSE(slots[i].halves.empty());
    slots[i ^ 1].halves.run(step);
  }
  slots[i ^ 1].halves.run(machine.step(batch.micro(0, kMicro)));
  EXPECT_EQ(slots[0].halves_arena.peak(), needs.weight_halves);
  EXPECT_EQ(slots[0].stash_arena.peak(), needs.stash);
  return {totals.loss, totals.tokens, machine.gradients()};
}

class RecomputeBits : public testing::TestWithParam<Kind> {};

TEST_P(RecomputeBits, AreThoseOfKeepingEverything) {
  const Batch batch = test::random_batch(6, kSequence, 61);
  const Outcome kept = run_at_once(GetParam(), batch, {});
  for (const RecomputePlan& plan : plans()) {
    EXPECT_EQ(run_at_once(GetParam(), batch, plan), kept)
        << static_cast<int>(plan.mode) << " of " << plan.blocks << " blocks";
  }
}

TEST_P(RecomputeBits, AreThoseOfWeightHalvesDoneAtOnce) {
  const Batch batch = test::random_batch(6, kSequence, 61);
  const Outcome at_once = run_at_once(GetParam(), batch, {});
  for (const RecomputePlan& plan : plans()) {
    EXPECT_EQ(run_deferred(GetParam(), batch, plan), at_once)
        << static_cast<int>(plan.mode) << " of " << plan.blocks << " blocks";
  }
}

TEST_P(RecomputeBits, OfScoresAreThoseOfKeepingEverything) {
  const Batch batch = test::random_batch(kMicro, kSequence, 61);
  std::vector<std::vector<float>> scores;
  for (const RecomputePlan& plan : plans()) {
    Machine machine(model_of(GetParam()), profile_of(GetParam()), kMicro, kSequence, 1,
                    cpu::available_isas().back(), plan);
    scores.push_back(machine.evaluate(batch.micro(0, kMicro)));
    EXPECT_EQ(scores.back(), scores.front()) << static_cast<int>(plan.mode);
  }
}

TEST_P(RecomputeBits, CostTheStashThatTheyPromise) {
  const ModelConfig config = model_of(GetParam());
  const NumericsProfile profile = profile_of(GetParam());
  const std::size_t element = size_of(GetParam().compute);
  const auto rounded = [](std::size_t bytes) { return (bytes + 63) / 64 * 64; };
  const std::size_t tokens = kMicro * kSequence;
  const std::size_t stream = rounded(tokens * static_cast<std::size_t>(config.hidden) * element);
  const std::size_t context = static_cast<std::size_t>(config.heads * config.head_size +
                                                       (config.parallel_residual ? config.feed_forward : 0));
  // What selective recompute leaves out of each block: the attention's result and its sums.
  const std::size_t left_out = rounded(tokens * context * element) +
                               rounded(tokens * static_cast<std::size_t>(config.heads) * sizeof(float));
  const auto stash_of = [&](const RecomputePlan& plan) {
    return measure_micro_batch(config, profile, kMicro, kSequence, plan).stash_bytes;
  };
  const std::size_t kept = stash_of({});
  EXPECT_EQ(stash_of({.mode = Recompute::selective}), kept - kLayers * left_out);
  EXPECT_EQ(stash_of({.mode = Recompute::selective, .blocks = 1}), kept - left_out);
  EXPECT_EQ(stash_of({.mode = Recompute::full}), (kLayers + 1) * stream);
  const std::size_t block = (kept - stream) / kLayers - stream;  // of one block besides its result
  EXPECT_EQ(stash_of({.mode = Recompute::full, .blocks = 2}), kept - 2 * block);
}

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const char* shape : test::kShapes) {
    all.push_back({shape, DType::f32, 0});
    all.push_back({shape, DType::bf16, 0.1});
  }
  all.push_back({"gpt", DType::bf16, 0});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, RecomputeBits, testing::ValuesIn(kinds()), [](const auto& kind) {
  return std::string(kind.param.shape) + "_" + name_of(kind.param.compute) +
         (kind.param.dropout > 0 ? "_dropout" : "");
});

TEST(Recompute, AllocatesNothingOnceItRuns) {
  const Batch batch = test::random_batch(kMicro, kSequence, 61);
  for (const char* shape : {"gpt", "neox"}) {
    for (const RecomputePlan& plan : plans()) {
      const Kind kind{shape, DType::bf16, 0.1};
      const ModelConfig config = model_of(kind);
      const Needs needs = measure(config, profile_of(kind), plan);
      Machine machine(config, profile_of(kind), kMicro, kSequence, 2, cpu::available_isas().back(), plan);
      Slot slot(machine.transformer, needs);
      const MicroBatch micro = batch.micro(0, kMicro);
      const auto once = [&] {
        LossTotals totals;
        StepContext step = machine.step(micro);
        step.deferred = &slot.halves;
        machine.transformer.forward_backward(step, slot.stash, totals);
        slot.halves.run(step);
      };
      once();
      const std::int64_t before = test::allocations;
      once();
      EXPECT_EQ(test::allocations - before, 0) << shape << " mode " << static_cast<int>(plan.mode);
    }
  }
}

}  // namespace
}  // namespace megalith
