// One step: the same bits however it is cut, the clipping and the weight-decay groups.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "train/trainer_fixture.h"

namespace megalith {
namespace {

using test::small_run;
using test::SmallTraining;

std::vector<float> values(const Tensor& tensor) {
  return {tensor.as<float>(), tensor.as<float>() + tensor.count()};
}

struct Cut {
  std::int64_t micro;
  int threads;
};
constexpr Cut kCuts[] = {{4, 1}, {2, 1}, {1, 1}, {4, 2}, {2, 2}, {1, 2}};

TEST(Trainer, GivesTheSameBitsForEveryMicroBatchAndThreadNumberWithAWhollyMaskedSequence) {
  for (const DType compute : {DType::bf16, DType::f32}) {
    for (const double dropout : {0.0, 0.2}) {
      std::vector<StepResult> expected;
      std::string state;
      for (const Cut& cut : kCuts) {
        TrainConfig config = small_run(cut.micro, compute);
        config.model.dropout = config.model.attention_dropout = dropout;
        SmallTraining training(config, cut.threads);
        for (std::int64_t step = 0; step < 3; ++step) {
          const StepResult result = training.trainer.run_step(step);
          EXPECT_FALSE(result.skipped) << result.bad;
          if (cut.micro == 4 && cut.threads == 1) expected.push_back(result);
          const StepResult& first = expected[static_cast<std::size_t>(step)];
          EXPECT_EQ(std::bit_cast<std::uint64_t>(result.loss), std::bit_cast<std::uint64_t>(first.loss));
          EXPECT_EQ(std::bit_cast<std::uint64_t>(result.gradient_norm),
                    std::bit_cast<std::uint64_t>(first.gradient_norm));
          EXPECT_EQ(result.loss_tokens, first.loss_tokens);
          EXPECT_EQ(result.data_digest, first.data_digest);
          EXPECT_EQ(result.parameter_digest, first.parameter_digest);
        }
        if (state.empty()) state = training.state();
        EXPECT_EQ(training.state() == state, true)
            << cut.micro << " sequences, " << cut.threads << " threads";
      }
    }
  }
}

TEST(Trainer, CountsEveryTokenWithATargetOnce) {
  const test::Batch batch = test::small_batch();
  const auto tokens = std::count(batch.loss_mask.begin(), batch.loss_mask.end(), 1);
  ASSERT_GT(tokens, 0);
  ASSERT_LT(tokens, test::kSamples * test::kTokens);
  SmallTraining training(small_run(2));
  const StepResult result = training.trainer.run_step(0);
  EXPECT_EQ(result.loss_tokens, tokens);
  EXPECT_NEAR(result.loss, std::log(61.0), 0.3);  // untrained
}

// The batch as two sources, the odd samples of which are the second's.
class TwoSources final : public test::RepeatedBatch {
 public:
  using test::RepeatedBatch::RepeatedBatch;
  [[nodiscard]] std::span<const std::string> source_names() const override { return names_; }
  [[nodiscard]] std::size_t source_of_sample(std::int64_t sample) const override {
    return static_cast<std::size_t>(sample % 2);
  }

 private:
  std::vector<std::string> names_{"even", "odd"};
};

TEST(Trainer, TellsTheLossOfEachSourceWithoutChangingABit) {
  SmallTraining plain(small_run(2));
  const StepResult expected = plain.trainer.run_step(0);
  EXPECT_TRUE(plain.trainer.loss_of_sources().empty());
  std::vector<Validation> first;
  for (const std::int64_t micro : {1, 2, 4}) {
    test::WatchedDevice device(2);
    const TwoSources data(test::small_batch());
    Trainer trainer(small_run(micro), device, data);
    const StepResult result = trainer.run_step(0);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(result.loss), std::bit_cast<std::uint64_t>(expected.loss));
    EXPECT_EQ(result.parameter_digest, expected.parameter_digest);
    const std::vector<Validation> losses = trainer.loss_of_sources();
    ASSERT_EQ(losses.size(), 2u);
    EXPECT_EQ(losses[0].loss_tokens + losses[1].loss_tokens, result.loss_tokens);
    double sum = 0;
    for (const Validation& loss : losses) sum += loss.loss * static_cast<double>(loss.loss_tokens);
    EXPECT_NEAR(sum / static_cast<double>(result.loss_tokens), result.loss, 1e-9);
    if (first.empty()) first = losses;
    EXPECT_EQ(losses[0].loss, first[0].loss);
    EXPECT_EQ(losses[1].loss, first[1].loss);
  }
}

TEST(Trainer, LeavesEverythingAloneWhenNothingOfABatchCounts) {
  test::Batch batch = test::small_batch();
  std::fill(batch.loss_mask.begin(), batch.loss_mask.end(), std::uint8_t{0});
  SmallTraining training(small_run(2), 1, batch);
  const std::string before = training.state();
  const StepResult result = training.trainer.run_step(0);
  EXPECT_FALSE(result.skipped);
  EXPECT_EQ(result.loss, 0);
  EXPECT_EQ(result.gradient_norm, 0);
  EXPECT_EQ(result.loss_tokens, 0);
  EXPECT_EQ(training.state() == before, true);
}

// After the first step the first moment is (1 - beta1) times the clipped mean gradient.
std::vector<double> clipped_gradient(const SmallTraining& training, double beta1) {
  std::vector<double> gradient;
  for (const Parameter& p : training.trainer.parameters().all()) {
    const float* m = p.first_moment.as<float>();
    for (std::int64_t i = 0; i < p.logical_count(); ++i) {
      gradient.push_back(static_cast<double>(m[i]) / (1 - static_cast<double>(static_cast<float>(beta1))));
    }
  }
  return gradient;
}

double norm_of(const std::vector<double>& gradient) {
  double squares = 0;
  for (const double g : gradient) squares += g * g;
  return std::sqrt(squares);
}

TEST(Trainer, ScalesTheGradientToTheClipAndReportsTheNormBefore) {
  TrainConfig config = small_run(2);
  config.optimizer.clip = 0;
  SmallTraining free(config);
  const double norm = free.trainer.run_step(0).gradient_norm;
  const std::vector<double> gradient = clipped_gradient(free, config.optimizer.beta1);
  EXPECT_NEAR(norm_of(gradient), norm, 1e-5 * norm);

  config.optimizer.clip = norm / 4;
  SmallTraining clipped(config);
  EXPECT_EQ(clipped.trainer.run_step(0).gradient_norm, norm);
  const std::vector<double> quarter = clipped_gradient(clipped, config.optimizer.beta1);
  EXPECT_NEAR(norm_of(quarter), norm / 4, 1e-5 * norm);
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    ASSERT_NEAR(quarter[i], gradient[i] / 4, 1e-6 * std::fabs(gradient[i])) << i;
  }
}

TEST(Trainer, DoesNotTouchAGradientWithinTheClip) {
  TrainConfig config = small_run(2);
  config.optimizer.clip = 0;
  SmallTraining free(config);
  const double norm = free.trainer.run_step(0).gradient_norm;
  for (const double clip : {norm, 2 * norm}) {
    config.optimizer.clip = clip;
    SmallTraining within(config);
    within.trainer.run_step(0);
    EXPECT_EQ(within.state() == free.state(), true) << clip;
  }
}

bool is_bias_or_norm(const std::string& name) {
  return name.ends_with(".bias") || name.ends_with(".gain");
}

// Two first steps that differ in nothing but the weight decay: what differs is the decay.
TEST(Trainer, DecaysMatricesAndTablesAndNeitherBiasesNorNorms) {
  TrainConfig config = small_run(2, DType::f32);
  config.optimizer.learning_rate = 0.01;
  config.optimizer.weight_decay = 0;
  SmallTraining free(config);
  config.optimizer.weight_decay = 0.5;
  SmallTraining decayed(config);
  std::vector<std::vector<float>> start;
  for (const Parameter& p : free.trainer.parameters().all()) {
    if (is_bias_or_norm(p.spec.name)) {  // zeros would hide a decay
      free.plant(p.spec.name, 0, 0.75f);
      decayed.plant(p.spec.name, 0, 0.75f);
    }
    start.emplace_back(p.master.as<float>(), p.master.as<float>() + p.logical_count());
  }
  free.trainer.run_step(0);
  decayed.trainer.run_step(0);
  int with = 0, without = 0;
  for (std::size_t k = 0; k < start.size(); ++k) {
    const Parameter& p = free.trainer.parameters().all()[k];
    const float* a = p.master.as<float>();
    const float* b = decayed.trainer.parameters().all()[k].master.as<float>();
    const bool decays = !is_bias_or_norm(p.spec.name);
    ++(decays ? with : without);
    for (std::size_t i = 0; i < start[k].size(); ++i) {
      if (decays) {
        ASSERT_NEAR(static_cast<double>(a[i]) - b[i], 0.01 * 0.5 * start[k][i], 2e-8)
            << p.spec.name << " " << i;
      } else {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(a[i]), std::bit_cast<std::uint32_t>(b[i])) << p.spec.name;
      }
    }
  }
  EXPECT_EQ(with, 2 * 4 + 3);           // products of two blocks, two tables, the output
  EXPECT_EQ(without, 2 * (4 + 4) + 2);  // biases and norms of two blocks, the head's norm
}

TEST(Trainer, ALearningRateFactorOfAllParametersIsAnotherLearningRate) {
  TrainConfig doubled = small_run(2);
  doubled.optimizer.learning_rate *= 2;
  TrainConfig factor = small_run(2);
  factor.optimizer.learning_rate_factors = {"* = 7", "* = 2"};
  SmallTraining one(doubled);
  SmallTraining other(factor);
  for (std::int64_t step = 0; step < 3; ++step) {
    EXPECT_EQ(one.trainer.run_step(step).parameter_digest, other.trainer.run_step(step).parameter_digest);
  }
}

TEST(Trainer, AFrozenParameterStaysAndIsNoPartOfTheGradientNorm) {
  TrainConfig config = small_run(2);
  config.optimizer.clip = 0;  // the two norms differ
  SmallTraining free(config);
  config.optimizer.learning_rate_factors = {"embedding.* = 0"};
  SmallTraining frozen(config);
  const std::vector<float> before = values(frozen.parameter("embedding.tokens").master);
  const StepResult result = frozen.trainer.run_step(0);
  EXPECT_EQ(values(frozen.parameter("embedding.tokens").master), before);
  EXPECT_LT(result.gradient_norm, free.trainer.run_step(0).gradient_norm);
  EXPECT_NE(values(free.parameter("embedding.tokens").master), before);
  EXPECT_EQ(values(frozen.parameter("head.output.weight").master),
            values(free.parameter("head.output.weight").master));
}

}  // namespace
}  // namespace megalith
