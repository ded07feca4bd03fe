// Any pipeline gives the bits of one rank, and takes the memory and the messages that were promised.

#include "pipeline/engine.h"

#include <gtest/gtest.h>

#include "pipeline/pipeline_ranks.h"

namespace megalith {
namespace {

using test::Batch;
using test::StepOutcome;

constexpr std::int64_t kSequence = 24;
constexpr std::int64_t kLayers = 6;

ModelConfig model_of(const std::string& shape, double dropout) {
  ModelConfig config = test::shaped_model(shape);
  config.layers = kLayers;
  config.dropout = dropout;
  config.attention_dropout = dropout;
  return config;
}

struct Cut {
  ScheduleKind schedule;
  int stages, chunks;
  std::vector<std::int64_t> layers;
};

const std::vector<Cut>& cuts() {
  static const std::vector<Cut> all = {
      {ScheduleKind::one_f_one_b, 1, 1, {6}},
      {ScheduleKind::gpipe, 1, 1, {6}},
      {ScheduleKind::zero_bubble, 1, 1, {6}},
      {ScheduleKind::gpipe, 2, 1, {3, 3}},
      {ScheduleKind::one_f_one_b, 2, 1, {4, 2}},
      {ScheduleKind::zero_bubble, 2, 1, {1, 5}},
      {ScheduleKind::interleaved, 2, 2, {2, 1, 1, 2}},
      {ScheduleKind::interleaved, 2, 3, {1, 1, 1, 1, 1, 1}},
      {ScheduleKind::one_f_one_b, 3, 1, {2, 2, 2}},
      {ScheduleKind::zero_bubble, 3, 1, {2, 3, 1}},
      {ScheduleKind::interleaved, 3, 2, {1, 1, 1, 1, 1, 1}},
      {ScheduleKind::gpipe, 4, 1, {2, 2, 1, 1}},
      {ScheduleKind::one_f_one_b, 4, 1, {1, 1, 2, 2}},
      {ScheduleKind::zero_bubble, 4, 1, {1, 2, 2, 1}},
  };
  return all;
}

std::string name_of(const Cut& cut, std::int64_t micro_batches) {
  return fmt::format("schedule {}, {} stages, {} chunks, {} micro batches", static_cast<int>(cut.schedule),
                     cut.stages, cut.chunks, micro_batches);
}

PipelineConfig config_of(const Cut& cut, const ModelConfig& model, const NumericsProfile& profile,
                         std::int64_t micro_batches, const RecomputePlan& recompute = {}) {
  return {.model = model,
          .numerics = profile,
          .schedule = cut.schedule,
          .stages = cut.stages,
          .chunks = cut.chunks,
          .layers = cut.layers,
          .recompute = recompute,
          .sequences = test::kMicro,
          .sequence = kSequence,
          .max_micro_batches = static_cast<int>(micro_batches)};
}

class PipelineEngineOf : public testing::TestWithParam<const char*> {};

TEST_P(PipelineEngineOf, AnyCutAndScheduleGivesTheBitsOfOneRank) {
  const ModelConfig model = model_of(GetParam(), 0.1);
  const NumericsProfile profile = test::small_profile(DType::bf16, kSequence);
  std::int64_t micro_batches = 1;
  for (const Cut& cut : cuts()) {
    micro_batches = micro_batches % 8 + 1;
    const Batch batch = test::random_batch(micro_batches, kSequence, 61);
    const StepOutcome one = test::one_rank(model, profile, batch);
    const StepOutcome cut_up = test::pipeline_of(config_of(cut, model, profile, micro_batches), batch);
    EXPECT_EQ(test::difference(cut_up, one), "") << name_of(cut, micro_batches);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, PipelineEngineOf,
                         testing::Values("gpt", "gpt_untied", "llama", "neox", "capped"));

TEST(PipelineEngine, GivesTheBitsOfOneRankForAnyNumberOfMicroBatches) {
  const ModelConfig model = model_of("gpt", 0);
  const NumericsProfile profile = test::small_profile(DType::f32, kSequence);
  for (std::int64_t micro_batches = 1; micro_batches <= 8; ++micro_batches) {
    const Batch batch = test::random_batch(micro_batches, kSequence, 61);
    const StepOutcome one = test::one_rank(model, profile, batch);
    for (const Cut& cut : cuts()) {
      const StepOutcome cut_up = test::pipeline_of(config_of(cut, model, profile, micro_batches), batch);
      EXPECT_EQ(test::difference(cut_up, one), "") << name_of(cut, micro_batches);
    }
  }
}

TEST(PipelineEngine, GivesTheBitsOfOneRankWhateverIsRecomputed) {
  const NumericsProfile profile = test::small_profile(DType::bf16, kSequence);
  const Batch batch = test::random_batch(5, kSequence, 61);
  for (const char* shape : {"gpt", "neox"}) {
    const ModelConfig model = model_of(shape, 0.1);
    const StepOutcome one = test::one_rank(model, profile, batch);
    for (const RecomputePlan& plan : {RecomputePlan{Recompute::selective, 0},
                                      RecomputePlan{Recompute::full, 0}, RecomputePlan{Recompute::full, 2}}) {
      for (const std::size_t i : {5u, 6u, 8u, 13u}) {
        const StepOutcome cut_up = test::pipeline_of(config_of(cuts()[i], model, profile, 5, plan), batch);
        EXPECT_EQ(test::difference(cut_up, one), "") << shape << ", " << name_of(cuts()[i], 5);
      }
    }
  }
}

TEST(PipelineEngine, UsesTheMemoryThatWasMeasuredAndTheSlotsThatTheSchedulePromises) {
  const ModelConfig model = model_of("gpt", 0);
  const NumericsProfile profile = test::small_profile(DType::bf16, kSequence);
  const Batch batch = test::random_batch(7, kSequence, 61);
  for (const Cut& cut : cuts()) {
    test::pipeline_of(config_of(cut, model, profile, 7), batch,
                      [&](const Mesh& mesh, test::PipelineRank& rank, const test::BatchClient&) {
                        const PipelineNeeds& needs = rank.engine.needs();
                        const PipelineNeeds used = rank.engine.used();
                        EXPECT_EQ(used.slots, needs.slots) << name_of(cut, 7);
                        EXPECT_EQ(used.slot_bytes, needs.slot_bytes) << name_of(cut, 7);
                        EXPECT_EQ(used.half_bytes, needs.half_bytes) << name_of(cut, 7);
                        EXPECT_EQ(used.message_bytes, needs.message_bytes) << name_of(cut, 7);
                        EXPECT_EQ(used.workspace_bytes, needs.workspace_bytes) << name_of(cut, 7);
                        EXPECT_EQ(needs.slots,
                                  peak_in_flight(training_schedule({cut.schedule, cut.stages, cut.chunks, 7},
                                                                   mesh.place().pipeline)));
                      });
  }
}

TEST(PipelineEngine, ShowsTheLogProbabilitiesOfEveryMicroBatchInTraining) {
  const ModelConfig model = model_of("gpt", 0);
  const NumericsProfile profile = test::small_profile(DType::bf16, kSequence);
  const Batch batch = test::random_batch(5, kSequence, 61);
  for (const Cut& cut : cuts()) {
    test::pipeline_of(
        config_of(cut, model, profile, 5), batch,
        [&](const Mesh& mesh, test::PipelineRank&, const test::BatchClient& client) {
          EXPECT_EQ(client.trained.empty(), !mesh.last_stage());
          EXPECT_EQ(client.trained, client.all) << name_of(cut, 5);
        },
        true);
  }
}

TEST(PipelineEngine, KeepsOneSetOfActivationsAsASingleRank) {
  const ModelConfig model = model_of("gpt", 0);
  const NumericsProfile profile = test::small_profile(DType::bf16, kSequence);
  const MicroBatchNeeds whole = measure_micro_batch(model, profile, test::kMicro, kSequence);
  const PipelineNeeds one = measure_pipeline(config_of(cuts()[0], model, profile, 8), Mesh());
  EXPECT_EQ(one.slots, 1);
  EXPECT_EQ(one.slot_bytes, whole.stash_bytes);
  EXPECT_EQ(one.half_bytes, 0u);
  EXPECT_EQ(one.message_bytes + one.workspace_bytes, whole.workspace_bytes);
}

}  // namespace
}  // namespace megalith
