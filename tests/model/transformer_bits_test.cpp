// One set of bits: whatever the threads, micro batches, kernel family, packing or way of asking.

#include <gtest/gtest.h>

#include "infer/generator.h"
#include "model/model_fixture.h"

namespace megalith {
namespace {

using test::Batch;
using test::Machine;

struct Outcome {
  std::int64_t loss = 0, tokens = 0;
  std::vector<std::int64_t> gradients;
  bool operator==(const Outcome&) const = default;
};

struct Kind {
  const char* shape;
  DType compute;
};

Outcome run(const Kind& kind, const Batch& batch, std::int64_t micro, int threads, cpu::Isa isa) {
  ModelConfig config = test::shaped_model(kind.shape);
  config.dropout = 0.1;
  config.attention_dropout = 0.1;
  Machine machine(config, test::small_profile(kind.compute, batch.sequence), micro, batch.sequence, threads,
                  isa);
  machine.z_loss = 1e-3f;
  const LossTotals totals = machine.forward_backward(batch, micro);
  EXPECT_FALSE(machine.verdict.bad());
  return {totals.loss, totals.tokens, machine.gradients()};
}

class TransformerBits : public testing::TestWithParam<Kind> {};

TEST_P(TransformerBits, DoNotDependOnThreads) {
  const Batch batch = test::random_batch(8, 32, 61);
  const cpu::Isa isa = cpu::available_isas().back();
  const Outcome one = run(GetParam(), batch, 4, 1, isa);
  for (const int threads : {2, 3, 4}) EXPECT_EQ(run(GetParam(), batch, 4, threads, isa), one) << threads;
}

TEST_P(TransformerBits, DoNotDependOnTheMicroBatch) {
  const Batch batch = test::random_batch(8, 32, 61);
  const cpu::Isa isa = cpu::available_isas().back();
  const Outcome whole = run(GetParam(), batch, 8, 2, isa);
  for (const std::int64_t micro : {1, 2, 4}) EXPECT_EQ(run(GetParam(), batch, micro, 2, isa), whole) << micro;
}

TEST_P(TransformerBits, DoNotDependOnTheKernelFamily) {
  const Batch batch = test::random_batch(4, 24, 61);
  const Outcome portable = run(GetParam(), batch, 2, 2, cpu::Isa::portable);
  for (const cpu::Isa isa : cpu::available_isas()) {
    EXPECT_EQ(run(GetParam(), batch, 2, 2, isa), portable) << cpu::name_of(isa);
  }
}

TEST_P(TransformerBits, ARowAloneEqualsTheRowInABatchOf64) {
  const Batch batch = test::random_batch(64, 24, 61);
  Machine machine(test::shaped_model(GetParam().shape), test::small_profile(GetParam().compute, 24), 64, 24);
  const std::vector<float> together = machine.evaluate(batch.micro(0, 64));
  for (const std::int64_t b : {0, 7, 63}) {
    const std::vector<float> alone = machine.evaluate(batch.micro(b, 1));
    for (std::size_t s = 0; s < 24; ++s)
      EXPECT_EQ(alone[s], together[static_cast<std::size_t>(b) * 24 + s]) << b;
  }
}

TEST_P(TransformerBits, APackedDocumentEqualsTheDocumentAlone) {
  const std::int64_t vocabulary = 61;
  Batch packed = test::random_batch(1, 48, vocabulary);
  const std::int32_t start = 19;
  for (std::int32_t s = 0; s < 48; ++s) {
    packed.document_start[static_cast<std::size_t>(s)] = s < start ? 0 : start;
    packed.positions[static_cast<std::size_t>(s)] = s < start ? s : s - start;
  }
  Batch alone{.sequences = 1, .sequence = 48 - start, .samples = {0}};
  for (std::size_t s = start; s < 48; ++s) {
    alone.ids.push_back(packed.ids[s]);
    alone.targets.push_back(packed.targets[s]);
    alone.document_start.push_back(0);
    alone.positions.push_back(static_cast<std::int32_t>(s) - start);
    alone.loss_mask.push_back(1);
  }
  Machine machine(test::shaped_model(GetParam().shape), test::small_profile(GetParam().compute, 24), 1, 48);
  const std::vector<float> in_pack = machine.evaluate(packed.micro(0, 1));
  const std::vector<float> by_itself = machine.evaluate(alone.micro(0, 1));
  for (std::size_t s = 0; s < by_itself.size(); ++s) EXPECT_EQ(by_itself[s], in_pack[s + start]) << s;
}

TEST_P(TransformerBits, GenerationScoresADocumentAsTrainingDoes) {
  Batch document = test::random_batch(1, 48, 61);
  for (std::int32_t s = 0; s < 48; ++s) {
    const auto i = static_cast<std::size_t>(s);
    document.document_start[i] = 0;
    document.positions[i] = s;
    if (s > 0) document.targets[i - 1] = document.ids[i];
  }
  const NumericsProfile profile = test::small_profile(GetParam().compute, 48);
  Machine machine(test::shaped_model(GetParam().shape), profile, 1, 48);
  const std::vector<float> training = machine.evaluate(document.micro(0, 1));

  Generator generator(*machine.device, machine.transformer, profile, 3);
  const std::vector<float> scored = generator.score(document.ids);
  ASSERT_EQ(scored.size(), 47u);
  for (std::size_t s = 0; s < scored.size(); ++s) EXPECT_EQ(scored[s], training[s]) << s;

  generator.prefill(std::span(document.ids).first(5), 3);
  for (std::size_t s = 5; s < 48; ++s) {
    const std::int32_t next = document.ids[s];
    for (std::int64_t slot = 0; slot < 3; ++slot) {
      EXPECT_EQ(generator.log_probability(slot, next), training[s - 1]) << s << " slot " << slot;
    }
    const std::int32_t ids[] = {next, next, next};
    generator.decode(ids);
  }
}

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const char* shape : test::kShapes) {
    for (const DType compute : {DType::f32, DType::bf16}) all.push_back({shape, compute});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, TransformerBits, testing::ValuesIn(kinds()), [](const auto& kind) {
  return std::string(kind.param.shape) + "_" + name_of(kind.param.compute);
});

}  // namespace
}  // namespace megalith
