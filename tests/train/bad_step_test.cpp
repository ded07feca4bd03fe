// Steps in which something is not finite: found wherever it arises, named, skipped without a trace.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/bf16.h"
#include "train/trainer_fixture.h"

namespace megalith {
namespace {

using test::small_run;
using test::SmallTraining;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Of a token whose target counts.
constexpr std::int64_t kPoisonedRow = 3;

void poison(const Tensor& result, float value) {
  const std::int64_t row = result.rows() > 1 ? kPoisonedRow : 0;
  const std::int64_t column = result.rows() > 1 ? 1 : kPoisonedRow;
  if (result.dtype == DType::bf16) {
    result.row<bf16>(row)[column] = to_bf16(value);
  } else {
    result.row<float>(row)[column] = value;
  }
}

// Poisons result number `which` (from 0) of the operations of this name in every pass over the batch, a pass
// being `per_pass` of them. An empty name stands for all operations.
void poison_result(SmallTraining& training, std::string name, int which, int per_pass, float value) {
  training.device.watch([=, seen = 0](std::string_view operation, const Tensor& result) mutable {
    if (!name.empty() && operation != name) return;
    if (seen++ % per_pass == which) poison(result, value);
  });
}

int results_per_pass(SmallTraining& training, const std::string& name) {
  int seen = 0;
  training.device.watch([&](std::string_view operation, const Tensor&) {
    if (name.empty() || operation == name) ++seen;
  });
  training.trainer.run_step(0);
  training.device.leave_alone();
  return seen;
}

void expect_same(const StepResult& found, const StepResult& expected) {
  EXPECT_EQ(std::bit_cast<std::uint64_t>(found.loss), std::bit_cast<std::uint64_t>(expected.loss));
  EXPECT_EQ(std::bit_cast<std::uint64_t>(found.gradient_norm),
            std::bit_cast<std::uint64_t>(expected.gradient_norm));
  EXPECT_EQ(found.parameter_digest, expected.parameter_digest);
  EXPECT_EQ(found.skipped, expected.skipped);
}

TEST(BadStep, IsFoundWhicheverOperationBringsItAndLeavesNoTrace) {
  TrainConfig config = small_run(4);
  config.model.dropout = config.model.attention_dropout = 0.1;
  SmallTraining training(config), clean(config);
  const int results = results_per_pass(training, "");
  EXPECT_GT(results, 40);
  clean.trainer.run_step(0);
  const std::string before = training.state();
  ASSERT_EQ(before == clean.state(), true);
  for (int which = 0; which < results; ++which) {
    for (const float value : {kNan, kInfinity}) {
      std::string operation;
      int seen = 0;
      training.device.watch([&](std::string_view name, const Tensor& result) {
        if (seen++ % results != which) return;
        operation = name;
        poison(result, value);
      });
      // One logit of -Inf is a token of probability zero, and that is a number; likewise behind an
      // activation.
      const StepResult result = training.trainer.run_step(1);
      EXPECT_TRUE(result.skipped) << operation << ", result " << which << ", " << value;
      EXPECT_NE(result.bad, "");
      EXPECT_EQ(result.loss, 0);
      EXPECT_EQ(result.gradient_norm, 0);
      ASSERT_EQ(training.state() == before, true) << operation << ", result " << which << ", " << value;
    }
  }
  training.device.leave_alone();
  expect_same(training.trainer.run_step(1), clean.trainer.run_step(1));
  EXPECT_EQ(training.state() == clean.state(), true);
}

struct Place {
  const char* operation;
  int which;
  const char* bad;
};

TEST(BadStep, NamesLayerOperationAndDirectionOfItsFirstBadTensor) {
  const Place places[] = {
      {"embedding forward", 0, "start embedding forward: not finite"},
      {"norm forward", 0, "layer 0 attention.norm forward: not finite"},
      {"product forward", 0, "layer 0 attention.qkv forward: not finite"},
      {"attention forward", 1, "layer 1 attention.core forward: not finite"},
      {"product forward", 5, "layer 1 attention.out forward: not finite"},
      {"norm forward", 3, "layer 1 feed_forward.norm forward: not finite"},
      {"product forward", 6, "layer 1 feed_forward.up forward: not finite"},
      {"activation forward", 0, "layer 0 feed_forward.down forward: not finite"},
      {"residual forward", 3, "layer 1 feed_forward.down forward: not finite"},
      {"norm forward", 4, "head norm forward: not finite"},
      {"product forward", 8, "head output forward: not finite"},
      {"loss backward", 0, "head loss backward: not finite"},
      {"product backward", 0, "head output backward: not finite"},
      {"norm backward", 0, "head norm backward: not finite"},
      {"activation backward", 0, "layer 1 feed_forward.up backward: not finite"},
      {"norm backward", 1, "layer 1 feed_forward.norm backward: not finite"},
      {"attention backward", 1, "layer 0 attention.qkv backward: not finite"},
      {"norm backward", 4, "layer 0 attention.norm backward: not finite"},
  };
  SmallTraining training(small_run(4));
  for (const Place& place : places) {
    const int per_pass = results_per_pass(training, place.operation);
    ASSERT_LT(place.which, per_pass) << place.operation;
    poison_result(training, place.operation, place.which, per_pass, kNan);
    const StepResult result = training.trainer.run_step(7);
    EXPECT_EQ(result.step, 7);
    EXPECT_EQ(result.bad, place.bad);
  }
}

TEST(BadStep, NamesWhereALossOrAGradientLeftItsRange) {
  SmallTraining training(small_run(4));
  poison_result(training, "loss forward", 0, 1, -0x1p20f);
  EXPECT_EQ(training.trainer.run_step(0).bad,
            "head loss backward: a loss or gradient contribution out of range just before");
  poison_result(training, "loss backward", 0, 1, 1e20f);
  EXPECT_EQ(training.trainer.run_step(0).bad,
            "head output backward: a loss or gradient contribution out of range just before");
  poison_result(training, "norm backward", 4, 5, 1e20f);
  EXPECT_EQ(training.trainer.run_step(0).bad,
            "start embedding backward: a loss or gradient contribution out of range just before");
}

struct Planting {
  const char* parameter;
  std::int64_t element;
  float value;
};

TEST(BadStep, IsTheSameVerdictForEveryMicroBatchAndThreadNumber) {
  const std::int32_t id = test::small_batch().ids[2 * test::kTokens + 5];
  const Planting plantings[] = {
      {"embedding.tokens", id * 32 + 3, kNan},   {"layers.1.feed_forward.up.weight", 77, kInfinity},
      {"layers.0.attention.qkv.bias", 90, kNan}, {"layers.1.attention.norm.gain", 0, 3e38f},
      {"head.norm.bias", 31, -kInfinity},        {"head.output.weight", 12, 1e30f}};
  for (const Planting& planting : plantings) {
    std::string bad;
    for (const std::int64_t micro : {4, 2, 1}) {
      for (const int threads : {1, 2}) {
        SmallTraining training(small_run(micro), threads), clean(small_run(micro), threads);
        const float before = training.plant(planting.parameter, planting.element, planting.value);
        const std::string state = training.state();
        const StepResult result = training.trainer.run_step(0);
        EXPECT_TRUE(result.skipped) << planting.parameter << " " << planting.value;
        if (bad.empty()) bad = result.bad;
        EXPECT_EQ(result.bad, bad) << micro << " sequences, " << threads << " threads";
        EXPECT_EQ(training.state() == state, true);
        training.plant(planting.parameter, planting.element, before);
        expect_same(training.trainer.run_step(1), clean.trainer.run_step(1));
        EXPECT_EQ(training.state() == clean.state(), true) << planting.parameter;
      }
    }
  }
}

// Ids of their own in the first and the third sample: the first goes wrong late, the third early.
TEST(BadStep, NamesTheEarliestPlaceOfAnySampleHoweverTheBatchIsCut) {
  test::Batch batch = test::small_batch();
  batch.ids[5] = 59;
  batch.ids[2 * test::kTokens + 5] = 60;
  for (const std::int64_t micro : {4, 2, 1}) {
    SmallTraining training(small_run(micro), 1, batch);
    for (const int feature : {0, 1})
      training.plant("embedding.tokens", 59 * 32 + feature, 3e38f);  // sum: Inf
    EXPECT_EQ(training.trainer.run_step(0).bad, "layer 0 attention.norm forward: not finite") << micro;
    training.plant("embedding.tokens", 60 * 32, kNan);
    EXPECT_EQ(training.trainer.run_step(0).bad, "start embedding forward: not finite") << micro;
  }
}

}  // namespace
}  // namespace megalith
