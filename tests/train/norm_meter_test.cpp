// Norms per layer: what they are, that they are functions of the bits, and that measuring changes none.
#include "train/norm_meter.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <map>

#include "train/trainer_fixture.h"

namespace megalith {
namespace {

using test::kSamples;
using test::kTokens;
using test::small_run;
using test::SmallTraining;

struct Measured {
  StepResult step;
  std::vector<LayerNorms> norms;
  std::string state;
};

// The norms of the second of two steps.
Measured measure(std::int64_t micro, int threads) {
  SmallTraining training(small_run(micro), threads);
  NormMeter meter(training.trainer.parameters(), 2, training.trainer.mesh().world());
  training.trainer.run_step(0);
  meter.before_step();
  Measured measured;
  measured.step = training.trainer.run_step(1);
  const GradientScale scale{.shift = gradient_shift(kSamples * kTokens),
                            .divisor = measured.step.loss_tokens};
  measured.norms = meter.after_step(training.device, scale);
  measured.state = training.state();
  return measured;
}

std::vector<std::uint64_t> bits_of(const std::vector<LayerNorms>& norms) {
  std::vector<std::uint64_t> bits;
  for (const LayerNorms& n : norms) {
    for (const double value : {n.parameter, n.gradient, n.update})
      bits.push_back(std::bit_cast<std::uint64_t>(value));
  }
  return bits;
}

TEST(NormMeter, NamesLayers) {
  std::vector<std::string> names;
  for (const LayerNorms& n : measure(4, 1).norms) names.push_back(n.layer);
  EXPECT_EQ(names, (std::vector<std::string>{"embedding", "layers.0", "layers.1", "head"}));
}

TEST(NormMeter, HasTheGlobalGradientNormAsTheRootOfItsSquares) {
  const Measured measured = measure(4, 1);
  double squares = 0;
  for (const LayerNorms& n : measured.norms) squares += n.gradient * n.gradient;
  EXPECT_NEAR(std::sqrt(squares), measured.step.gradient_norm, 1e-12 * measured.step.gradient_norm);
}

TEST(NormMeter, SumsTheSquaresOfParametersAndOfTheirChange) {
  SmallTraining training(small_run(4));
  NormMeter meter(training.trainer.parameters(), 2, training.trainer.mesh().world());
  std::map<std::string, std::vector<float>> before;
  for (const Parameter& p : training.trainer.parameters().all()) {
    before[p.spec.name].assign(p.master.as<float>(), p.master.as<float>() + p.logical_count());
  }
  meter.before_step();
  const StepResult step = training.trainer.run_step(0);
  std::map<std::string, double> parameter, update;
  for (const Parameter& p : training.trainer.parameters().all()) {
    const std::string layer(
        p.spec.name.substr(0, p.spec.name.starts_with("layers.") ? 8 : p.spec.name.find('.')));
    for (std::int64_t i = 0; i < p.logical_count(); ++i) {
      const double after = p.master.as<float>()[i];
      const double change = after - before[p.spec.name][static_cast<std::size_t>(i)];
      parameter[layer] += after * after;
      update[layer] += change * change;
    }
  }
  const GradientScale scale{.shift = gradient_shift(kSamples * kTokens), .divisor = step.loss_tokens};
  const std::vector<LayerNorms> norms = meter.after_step(training.device, scale);
  ASSERT_EQ(norms.size(), parameter.size());
  for (const LayerNorms& n : norms) {
    EXPECT_GT(n.update, 0) << n.layer;
    EXPECT_NEAR(n.parameter, std::sqrt(parameter[n.layer]), 1e-9 * n.parameter) << n.layer;
    EXPECT_NEAR(n.update, std::sqrt(update[n.layer]), 1e-6 * n.update) << n.layer;  // differences are floats
  }
}

TEST(NormMeter, GivesTheSameBitsForEveryMicroBatchAndThreadNumber) {
  const Measured expected = measure(4, 1);
  EXPECT_EQ(bits_of(measure(2, 1).norms), bits_of(expected.norms));
  EXPECT_EQ(bits_of(measure(1, 2).norms), bits_of(expected.norms));
}

TEST(NormMeter, ChangesNoBitOfTraining) {
  SmallTraining unwatched(small_run(4));
  unwatched.trainer.run_step(0);
  unwatched.trainer.run_step(1);
  EXPECT_EQ(measure(4, 1).state == unwatched.state(), true);
}

TEST(NormMeter, IsNotANumberWhereAParameterIsOutOfRange) {
  SmallTraining training(small_run(4));
  NormMeter meter(training.trainer.parameters(), 2, training.trainer.mesh().world());
  training.plant("head.norm.gain", 1, 40000.0f);
  meter.before_step();
  const std::vector<LayerNorms> norms = meter.after_step(training.device, {.shift = 30, .divisor = 1});
  for (const LayerNorms& n : norms) EXPECT_EQ(std::isnan(n.parameter), n.layer == "head") << n.layer;
}

}  // namespace
}  // namespace megalith
