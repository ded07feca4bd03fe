// numerics.mode "fast": one set of bits within a layout, the losses of exact up to roundings, in every
// layout.

#include <cmath>
#include <limits>
#include <memory>

#include "train/ranks_fixture.h"

namespace megalith {
namespace {

constexpr std::int64_t kSteps = 20;
constexpr std::int64_t kSequences = 8;

// With a large epsilon an update is about linear in the gradient, so that roundings stay what they are.
TrainConfig run_of(NumericsMode mode, DType compute = DType::f32) {
  TrainConfig config = test::shared_run(kSequences, compute);
  config.numerics.mode = mode;
  config.optimizer.learning_rate = 3e-3;
  config.optimizer.epsilon = 1e-3;
  return config;
}

std::vector<double> losses_of(const test::Trace& trace) {
  std::vector<double> losses;
  for (const StepResult& step : trace.steps) {
    EXPECT_FALSE(step.skipped);
    losses.push_back(step.loss);
  }
  return losses;
}

double greatest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double greatest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) greatest = std::max(greatest, std::fabs(a[i] - b[i]));
  return greatest;
}

const std::vector<double>& losses_of_exact() {
  static const std::vector<double> losses =
      losses_of(test::trace_of(run_of(NumericsMode::exact), test::ragged_data(kSequences), kSteps));
  return losses;
}

// A chain over a step's n tokens loses n * 2^-24 of the sum of its terms' magnitudes at most, and a step
// moves a weight by about the rate: so moving each weight of an exact run by rate * n * 2^-24, up or down,
// before each step does at least what other roundings of the gradients do. What that makes of the losses is
// what fast may make.
double allowed_difference() {
  static const double allowed = [] {
    const TrainConfig config = run_of(NumericsMode::exact);
    const auto tokens = static_cast<double>(config.tokens_per_step());
    const auto distance = static_cast<float>(config.optimizer.learning_rate * tokens * 0x1p-24);
    double greatest = 0;
    for (const std::uint32_t seed : {1u, 2u, 3u}) {
      const auto jitter = [&](test::RankOfRun& rank, std::int64_t step) {
        std::uint32_t drawn = 0;
        for (const Parameter& p : rank.trainer.parameters().all()) {
          float* const w = p.master.as<float>();
          for (std::int64_t i = 0; i < p.master.count(); ++i)
            w[i] += test::draw(++drawn, seed + 10 * static_cast<std::uint32_t>(step)) % 2 == 0 ? distance
                                                                                               : -distance;
        }
        rank.trainer.refresh_working();
      };
      const test::Trace trace = test::trace_of(config, test::ragged_data(kSequences), kSteps, jitter);
      greatest = std::max(greatest, greatest_difference(losses_of(trace), losses_of_exact()));
    }
    return greatest;
  }();
  return allowed;
}

std::vector<TrainConfig> layouts() {
  std::vector<TrainConfig> configs;
  const auto add = [&](const ParallelConfig& parallel, std::int64_t micro = 1) {
    configs.push_back(run_of(NumericsMode::fast));
    configs.back().parallel = parallel;
    configs.back().batch.micro = micro;
  };
  add({.data = 1});
  add({.data = 1}, 8);
  for (const std::int64_t zero : {0, 1, 2, 3}) {
    add({.data = 2, .zero = zero});
    add({.data = 3, .zero = zero}, 2);  // shares that differ
    add({.tensor = 2, .pipeline = 2, .data = 2, .zero = zero});
  }
  add({.tensor = 8, .data = 1});
  add({.tensor = 2, .data = 1, .sequence = true}, 2);
  add({.pipeline = 4, .data = 1, .schedule = ScheduleKind::gpipe});
  add({.pipeline = 2, .data = 1, .schedule = ScheduleKind::interleaved, .chunks = 2});
  add({.pipeline = 2, .data = 2, .schedule = ScheduleKind::zero_bubble, .recompute = Recompute::full});
  return configs;
}

TEST(FastMode, HasTheLossesOfExactUpToRoundingsInEveryLayout) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  ASSERT_GT(allowed_difference(), 0);
  ASSERT_LT(allowed_difference(), 1e-4);
  ASSERT_LT(losses_of_exact().back(), losses_of_exact().front() - 0.1) << "it learns";
  int unlike_exact = 0;
  for (const TrainConfig& config : layouts()) {
    const std::vector<double> losses = losses_of(test::trace_of(config, data, kSteps));
    EXPECT_LT(greatest_difference(losses, losses_of_exact()), allowed_difference())
        << test::layout_text(config);
    unlike_exact += losses != losses_of_exact();
  }
  EXPECT_GT(unlike_exact, 0) << "the mode does something";
}

TEST(FastMode, RepeatsItselfInEveryLayout) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  for (TrainConfig config : layouts()) {
    config.numerics.compute = DType::bf16;
    config.model.dropout = 0.1;
    const test::Trace first = test::trace_of(config, data, 3);
    test::expect_same_trace(test::trace_of(config, data, 3), first, test::layout_text(config));
  }
}

TEST(FastMode, DoesNotDependOnTheNumberOfThreads) {
  for (const bool tied : {false, true}) {
    TrainConfig config = test::small_run(2);
    config.numerics.mode = NumericsMode::fast;
    config.model.tied_output = tied;
    std::vector<std::string> states;
    for (const int threads : {1, 2, 3}) {
      test::SmallTraining training(config, threads);
      for (std::int64_t step = 0; step < 3; ++step) EXPECT_FALSE(training.trainer.run_step(step).skipped);
      states.push_back(training.state());
    }
    EXPECT_EQ(states[0] == states[1] && states[1] == states[2], true);
  }
}

// Chains go on from call to call; only where two uses of one table add to it by turns does their order show.
TEST(FastMode, DoesNotDependOnTheMicroBatchWhereTheOutputIsNotTied) {
  std::vector<std::string> states;
  for (const std::int64_t micro : {1, 2, 4}) {
    TrainConfig config = test::small_run(micro);
    config.numerics.mode = NumericsMode::fast;
    test::SmallTraining training(config);
    for (std::int64_t step = 0; step < 3; ++step) training.trainer.run_step(step);
    states.push_back(training.state());
  }
  EXPECT_EQ(states[0] == states[1] && states[1] == states[2], true);
}

TEST(FastMode, SkipsABadStepOnAllRanks) {
  const float kNan = std::numeric_limits<float>::quiet_NaN();
  test::Batch batch = test::random_batch(kSequences, test::kTokens, 59);
  batch.ids[5 * test::kTokens + 5] = 60;  // of one sample alone
  const test::RepeatedBatch data(batch);
  const auto poison = [&](test::RankOfRun& rank, std::int64_t step) {
    if (step > 1) return;
    std::vector<float> row(32, step == 0 ? kNan : 0.01f);
    Parameters::set_row(rank.trainer.parameters().named("embedding.tokens"), 60, 0, row);
    rank.trainer.refresh_working();
  };
  for (const ParallelConfig& parallel :
       {ParallelConfig{.data = 1}, ParallelConfig{.data = 2}, ParallelConfig{.data = 2, .zero = 3}}) {
    TrainConfig config = run_of(NumericsMode::fast);
    config.parallel = parallel;
    const test::Trace trace = test::trace_of(config, data, 2, poison);
    EXPECT_TRUE(trace.steps[0].skipped);
    EXPECT_EQ(trace.steps[0].bad, "start embedding forward: not finite");
    EXPECT_FALSE(trace.steps[1].skipped);
  }
}

TEST(FastMode, KeepsGradientsOfMatricesInHalfTheMemory) {
  const auto bytes = [](NumericsMode mode) {
    const TrainConfig config = run_of(mode);
    return static_cast<std::int64_t>(measure_rank(config, Mesh()).parameter_bytes);
  };
  std::int64_t matrices = 0;
  const TrainConfig config = run_of(NumericsMode::exact);
  for (const ParameterSpec& spec : Transformer::specs(config.model, config.numerics)) {
    if (spec.is_matrix) matrices += spec.padded_rows * spec.columns;
  }
  EXPECT_EQ(bytes(NumericsMode::exact) - bytes(NumericsMode::fast), 4 * matrices);
}

// The plain device, but for gradients in f32 that are never zeroed.
class Forgetful final : public Device {
 public:
  MatmulOps& matmul() override { return device_->matmul(); }
  AttentionOps& attention() override { return device_->attention(); }
  ElementwiseOps& elementwise() override { return device_->elementwise(); }
  LossOps& loss() override { return device_->loss(); }
  OptimizerOps& optimizer() override { return optimizer_; }
  ShardOps& shards() override { return device_->shards(); }
  [[nodiscard]] std::string description() const override { return device_->description(); }
  [[nodiscard]] int num_threads() const override { return 1; }
  double peak_flops(DType) override { return 0; }

 private:
  class Optimizer final : public OptimizerOps {
   public:
    explicit Optimizer(OptimizerOps& ops) : ops_(ops) {}
    SquareSum squared_norm(const SquaredNorm& a) override { return ops_.squared_norm(a); }
    void update(const AdamUpdate& a) override { ops_.update(a); }
    void cast(const Cast& a) override { ops_.cast(a); }
    std::uint64_t digest(const Tensor& values, std::uint64_t first, std::int64_t stride) override {
      return ops_.digest(values, first, stride);
    }
    void zero(const Tensor& tensor) override {
      if (tensor.dtype != DType::f32) ops_.zero(tensor);
    }
    bool all_finite(const Tensor& tensor) override { return ops_.all_finite(tensor); }

   private:
    OptimizerOps& ops_;
  };
  std::unique_ptr<Device> device_ = cpu::make_device(1, cpu::available_isas().back());
  Optimizer optimizer_{device_->optimizer()};
};

TEST(PlantedBugs, AnAccumulatorThatIsNotZeroedIsFarFromExact) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  Forgetful device;
  Trainer trainer(run_of(NumericsMode::fast), device, data);
  std::vector<double> losses;
  for (std::int64_t step = 0; step < kSteps; ++step) losses.push_back(trainer.run_step(step).loss);
  EXPECT_GT(greatest_difference(losses, losses_of_exact()), 100 * allowed_difference());
}

}  // namespace
}  // namespace megalith
