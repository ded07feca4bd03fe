// The model against its float64 meaning: losses, and gradients by finite differences.

#include <gtest/gtest.h>

#include <cmath>

#include "model/model_fixture.h"
#include "reference/transformer_reference.h"

namespace megalith {
namespace {

using test::Batch;
using test::Machine;

reference::TransformerInput reference_input(const Batch& batch) {
  return {.sequences = batch.sequences,
          .sequence = batch.sequence,
          .ids = batch.ids,
          .targets = batch.targets,
          .document_start = batch.document_start,
          .positions = batch.positions,
          .loss_mask = batch.loss_mask};
}

reference::Act reference_act(Activation activation) {
  switch (activation) {
    case Activation::gelu_tanh:
      return reference::Act::gelu_tanh;
    case Activation::gelu_erf:
      return reference::Act::gelu_erf;
    case Activation::swiglu:
      return reference::Act::swiglu;
    case Activation::geglu:
      return reference::Act::geglu;
  }
  return {};
}

// As the papers and Llama 3.1's config define them, apart from the code under test.
std::vector<double> frequencies_of(const ModelConfig& config) {
  std::vector<double> frequencies;
  const RotaryConfig& rotary = config.rotary;
  const std::int64_t features = config.rotary_features();
  for (std::int64_t i = 0; i < features / 2; ++i) {
    double f = std::pow(rotary.base, -2.0 * static_cast<double>(i) / static_cast<double>(features));
    const double wave = 2 * M_PI / f;
    const double original = static_cast<double>(rotary.original_sequence);
    if (rotary.scaling == RotaryScaling::linear) f /= rotary.factor;
    if (rotary.scaling == RotaryScaling::llama3) {
      if (wave > original / rotary.low_frequency) {
        f /= rotary.factor;
      } else if (wave > original / rotary.high_frequency) {
        const double smooth =
            (original / wave - rotary.low_frequency) / (rotary.high_frequency - rotary.low_frequency);
        f = (1 - smooth) * f / rotary.factor + smooth * f;
      }
    }
    frequencies.push_back(f);
  }
  return frequencies;
}

reference::TransformerShape reference_shape(const ModelConfig& config) {
  return {.layers = static_cast<int>(config.layers),
          .heads = static_cast<int>(config.heads),
          .kv_heads = static_cast<int>(config.kv_heads),
          .head_size = static_cast<int>(config.head_size),
          .hidden = config.hidden,
          .feed_forward = config.feed_forward,
          .vocabulary = config.vocabulary,
          .window = config.attention_window,
          .tied = config.tied_output,
          .biases = config.biases,
          .qkv_biases = config.qkv_biases,
          .rms = config.norm == Norm::rms,
          .parallel = config.parallel_residual,
          .head_norms = config.head_norms,
          .act = reference_act(config.activation),
          .norm_epsilon = config.norm_epsilon,
          .softcap = config.logit_softcap,
          .frequencies = frequencies_of(config)};
}

reference::ParameterMap copy_of(const Parameters& parameters) {
  reference::ParameterMap map;
  for (const Parameter& p : parameters.all()) {
    const float* master = p.master.as<float>();
    map[p.spec.name] = reference::Matrix(master, master + p.logical_count());
  }
  return map;
}

// Larger weights than a fresh model has, so that every path carries a visible gradient. Gains stay near one:
// five times larger ones of both head norms would make every softmax a choice of one key.
void stir(Parameters& parameters) {
  for (const Parameter& p : parameters.all()) {
    float* master = p.master.as<float>();
    const double factor = p.spec.initial == Initial::one ? 1 : 5;
    for (std::int64_t i = 0; i < p.logical_count(); ++i) {
      const double noise = to_unit_double(test::draw(static_cast<std::uint32_t>(i), 99), 0) - 0.5;
      master[i] = static_cast<float>(master[i] * factor + 0.2 * noise);
    }
  }
}

class TransformerTruth : public testing::TestWithParam<const char*> {};

TEST_P(TransformerTruth, LossEqualsTheFloat64Model) {
  const ModelConfig config = test::shaped_model(GetParam());
  Machine machine(config, test::small_profile(DType::f32, 24), 3, 24);
  stir(machine.parameters);
  machine.parameters.refresh_working(*machine.device);
  const Batch batch = test::random_batch(3, 24, config.vocabulary);
  const LossTotals totals = machine.forward_backward(batch, 3);
  const reference::ParameterMap map = copy_of(machine.parameters);
  const double expected = reference::Transformer(reference_shape(config), map).loss(reference_input(batch));
  EXPECT_NEAR(static_cast<double>(totals.loss) * 0x1p-32, expected, 2e-5 * expected);
  EXPECT_FALSE(machine.verdict.bad());
}

void expect_finite_differences(const char* shape, NumericsMode mode) {
  const ModelConfig config = test::shaped_model(shape);
  NumericsProfile profile = test::small_profile(DType::f32, 24);
  profile.mode = mode;
  Machine machine(config, profile, 3, 24);
  stir(machine.parameters);
  machine.parameters.refresh_working(*machine.device);
  const bool with_z_loss = config.logit_softcap > 0 || !config.biases;
  machine.z_loss = with_z_loss ? 0.02f : 0;
  const Batch batch = test::random_batch(3, 24, config.vocabulary);
  machine.forward_backward(batch, 3);
  reference::ParameterMap map = copy_of(machine.parameters);
  const reference::TransformerInput input = reference_input(batch);
  const reference::Transformer model(reference_shape(config), map);
  const double unit = std::ldexp(1.0, -gradient_shift(4096));
  for (const Parameter& p : machine.parameters.all()) {
    for (int probe = 0; probe < 3; ++probe) {
      const auto i =
          static_cast<std::size_t>(test::draw(static_cast<std::uint32_t>(p.spec.first_index), 7u + probe) %
                                   static_cast<std::uint64_t>(p.logical_count()));
      double& value = map[p.spec.name][i];
      const double before = value;
      constexpr double kStep = 1e-5;
      value = before + kStep;
      const double above = model.loss(input, machine.z_loss);
      value = before - kStep;
      const double below = model.loss(input, machine.z_loss);
      value = before;
      const double expected = (above - below) / (2 * kStep);
      const bool in_floats = p.gradient.dtype == DType::f32;
      EXPECT_EQ(in_floats, mode == NumericsMode::fast && p.spec.is_matrix);
      const double actual = in_floats ? p.gradient.as<float>()[i]
                                      : static_cast<double>(p.gradient.as<std::int64_t>()[i]) * unit;
      EXPECT_NEAR(actual, expected, 2e-4 * std::fabs(expected) + 2e-4) << p.spec.name << " [" << i << "]";
    }
  }
}

TEST_P(TransformerTruth, GradientsEqualFiniteDifferencesOfTheFloat64Model) {
  expect_finite_differences(GetParam(), NumericsMode::exact);
}

TEST_P(TransformerTruth, SoDoThoseThatAreSummedInSinglePrecision) {
  expect_finite_differences(GetParam(), NumericsMode::fast);
}

INSTANTIATE_TEST_SUITE_P(Shapes, TransformerTruth, testing::ValuesIn(test::kShapes),
                         [](const auto& shape) { return std::string(shape.param); });

TEST_P(TransformerTruth, ParametersAreTheTensorsThatTheConfigCounts) {
  const ModelConfig config = test::shaped_model(GetParam());
  const std::vector<ParameterSpec> specs = Transformer::specs(config, test::small_profile(DType::f32, 24));
  const std::vector<TensorShape> tensors = tensor_shapes(config);
  ASSERT_EQ(specs.size(), tensors.size());
  std::int64_t count = 0;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    EXPECT_EQ(specs[i].name, tensors[i].name);
    EXPECT_EQ(specs[i].rows, tensors[i].rows) << tensors[i].name;
    EXPECT_EQ(specs[i].columns, tensors[i].columns) << tensors[i].name;
    count += tensors[i].count();
  }
  EXPECT_EQ(parameter_count(config), count);
}

TEST(TransformerMemory, GrowsWithTheLengthOfATextAndNotWithItsSquare) {
  for (const std::int64_t window : {0, 1024}) {
    ModelConfig config = test::shaped_model("mistral");
    config.attention_window = window;
    config.sequence = 65536;
    const auto bytes = [&](std::int64_t sequence) {
      const MicroBatchNeeds needs =
          measure_micro_batch(config, test::small_profile(DType::bf16, 4096), 1, sequence);
      return static_cast<double>(needs.stash_bytes + needs.workspace_bytes);
    };
    for (std::int64_t sequence = 4096; sequence < 65536; sequence *= 2)
      EXPECT_LT(bytes(2 * sequence), 2.01 * bytes(sequence)) << sequence;
  }
}

TEST(TransformerLoss, OfAnAllZeroModelIsLnV) {
  for (const std::int64_t vocabulary : {509, 512}) {
    for (const DType compute : {DType::f32, DType::bf16}) {
      const ModelConfig config = test::small_model(vocabulary);
      Machine machine(config, test::small_profile(compute, 16), 2, 16);
      for (const Parameter& p : machine.parameters.all()) machine.device->optimizer().zero(p.master);
      machine.parameters.refresh_working(*machine.device);
      const Batch batch = test::random_batch(4, 16, vocabulary);
      const LossTotals totals = machine.forward_backward(batch, 2);
      const double loss = static_cast<double>(totals.loss) * 0x1p-32 / static_cast<double>(totals.tokens);
      EXPECT_NEAR(loss, std::log(static_cast<double>(vocabulary)), 1e-5);
    }
  }
}

TEST(TransformerLoss, IsFiniteAndNearLnVForAFreshModelInBf16) {
  const ModelConfig config = test::small_model(512);
  Machine machine(config, test::small_profile(DType::bf16, 16), 2, 16);
  const Batch batch = test::random_batch(4, 16, 512);
  const LossTotals totals = machine.forward_backward(batch, 2);
  EXPECT_NEAR(static_cast<double>(totals.loss) * 0x1p-32 / static_cast<double>(totals.tokens),
              std::log(512.0), 0.2);
}

}  // namespace
}  // namespace megalith
