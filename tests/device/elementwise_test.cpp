// Row-wise operations: right against float64 and its finite differences, equal by bits in every kernel family
// and for any number of threads.

#include <gtest/gtest.h>

#include <bit>

#include "core/fixed_point.h"
#include "device/cpu/cpu_device.h"
#include "device/random_tensor.h"
#include "reference/elementwise_reference.h"

namespace megalith {
namespace {

using reference::Row;
using test::RandomTensor;

constexpr std::int64_t kWidths[] = {1, 2, 15, 16, 17, 33, 100, 131, 768};

// Everything one call wrote, to compare families and thread counts.
using Bits = std::vector<std::uint32_t>;

void append(Bits& bits, const RandomTensor& tensor, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) bits.push_back(std::bit_cast<std::uint32_t>(tensor.at(r, c)));
  }
}
void append(Bits& bits, const std::vector<std::int64_t>& sums) {
  for (const std::int64_t sum : sums) {
    bits.push_back(static_cast<std::uint32_t>(sum));
    bits.push_back(static_cast<std::uint32_t>(static_cast<std::uint64_t>(sum) >> 32));
  }
}

// Runs `call(ops, bits)` for every family and several thread counts; all must write the same bits.
template <class Call>
void expect_equal_everywhere(const Call& call) {
  Bits expected;
  for (const cpu::Isa isa : cpu::available_isas()) {
    for (const int threads : {1, 2, 4}) {
      ThreadPool pool(threads);
      Bits bits;
      call(*cpu::make_elementwise(pool, isa), bits);
      if (expected.empty()) expected = bits;
      ASSERT_EQ(bits, expected) << cpu::name_of(isa) << " " << threads << " threads";
    }
  }
}

Row row_of(const RandomTensor& tensor, std::int64_t row, std::int64_t columns) {
  Row result;
  for (std::int64_t c = 0; c < columns; ++c) result.push_back(tensor.at(row, c));
  return result;
}

Tensor vector_of(RandomTensor& tensor, std::int64_t count) {
  return {tensor.tensor().data, DType::f32, {count}};
}

Row reference_norm(Norm norm, const Row& x, const Row& gain, const Row& bias) {
  return norm == Norm::layer ? reference::layer_norm(x, gain, bias, 1e-5)
                             : reference::rms_norm(x, gain, 1e-5);
}

std::vector<std::pair<Norm, std::int64_t>> norms_and_widths(const std::vector<std::int64_t>& widths) {
  std::vector<std::pair<Norm, std::int64_t>> all;
  for (const Norm norm : {Norm::layer, Norm::rms}) {
    for (const std::int64_t width : widths) all.emplace_back(norm, width);
  }
  return all;
}

class ElementwiseOperations : public testing::TestWithParam<DType> {
 protected:
  [[nodiscard]] double rounding() const { return GetParam() == DType::bf16 ? 0x1p-8 : 0x1p-21; }
};

TEST_P(ElementwiseOperations, NormsAgreeWithFloat64) {
  for (const auto& [norm, width] : norms_and_widths({1, 2, 15, 16, 17, 33, 100, 768})) {
    expect_equal_everywhere([&, norm = norm, width = width](ElementwiseOps& ops, Bits& bits) {
      RandomTensor x(GetParam(), 9, width, 1, 2);
      RandomTensor gain(DType::f32, 1, width, 2);
      RandomTensor bias(DType::f32, 1, width, 3);
      RandomTensor y(GetParam(), 9, width, 4);
      RandomTensor statistics(DType::f32, 2, 9, 5);
      ops.forward(NormForward{.norm = norm,
                              .x = x.tensor(),
                              .gain = vector_of(gain, width),
                              .bias = norm == Norm::layer ? vector_of(bias, width) : Tensor{},
                              .y = y.tensor(),
                              .mean = Tensor(statistics.tensor().data, DType::f32, {9}),
                              .rstd = Tensor(statistics.tensor().row<float>(1), DType::f32, {9})});
      for (std::int64_t r = 0; r < 9; ++r) {
        const Row expected =
            reference_norm(norm, row_of(x, r, width), row_of(gain, 0, width), row_of(bias, 0, width));
        for (std::int64_t c = 0; c < width; ++c) {
          const double e = expected[static_cast<std::size_t>(c)];
          ASSERT_NEAR(y.at(r, c), e, rounding() * (std::fabs(e) + 1)) << width;
        }
      }
      y.expect_guards_untouched();
      append(bits, y, 9, width);
      append(bits, statistics, 2, 9);
    });
  }
}

TEST_P(ElementwiseOperations, NormsBackwardAgreeWithFiniteDifferences) {
  constexpr int kShift = 30;
  for (const auto& [norm, width] : norms_and_widths({2, 17, 100, 131})) {
    expect_equal_everywhere([&, norm = norm, width = width](ElementwiseOps& ops, Bits& bits) {
      constexpr std::int64_t kRows = 70;  // two blocks of 32 and a short one, no multiple of 4
      RandomTensor x(GetParam(), kRows, width, 1, 2);
      RandomTensor dy(GetParam(), kRows, width, 2);
      RandomTensor gain(DType::f32, 1, width, 3);
      RandomTensor bias(DType::f32, 1, width, 4);
      RandomTensor residual(GetParam(), kRows, width, 5);
      const RandomTensor before = residual;
      RandomTensor y(GetParam(), kRows, width, 6);
      RandomTensor statistics(DType::f32, 2, kRows, 7);
      const Tensor mean(statistics.tensor().data, DType::f32, {kRows});
      const Tensor rstd(statistics.tensor().row<float>(1), DType::f32, {kRows});
      ops.forward(NormForward{.norm = norm,
                              .x = x.tensor(),
                              .gain = vector_of(gain, width),
                              .bias = norm == Norm::layer ? vector_of(bias, width) : Tensor{},
                              .y = y.tensor(),
                              .mean = mean,
                              .rstd = rstd});
      std::vector<std::int64_t> dgain(static_cast<std::size_t>(width), 0);
      std::vector<std::int64_t> dbias(static_cast<std::size_t>(width), 0);
      Verdict verdict;
      ops.backward(NormBackward{.norm = norm,
                                .dy = dy.tensor(),
                                .x = x.tensor(),
                                .mean = mean,
                                .rstd = rstd,
                                .gain = vector_of(gain, width),
                                .residual_gradient = residual.tensor(),
                                .dx = residual.tensor(),
                                .dgain = Tensor(dgain.data(), DType::i64, {width}),
                                .dbias = Tensor(dbias.data(), DType::i64, {width}),
                                .shift = kShift,
                                .verdict = &verdict});
      EXPECT_FALSE(verdict.bad());
      const auto loss = [&](std::int64_t r, const Row& values, const Row& gains) {
        const Row out = reference_norm(norm, values, gains, row_of(bias, 0, width));
        double sum = 0;
        for (std::int64_t c = 0; c < width; ++c) sum += out[static_cast<std::size_t>(c)] * dy.at(r, c);
        return sum;
      };
      for (std::int64_t r = 0; r < kRows; r += 13) {
        for (std::int64_t c = 0; c < width; c += 3) {
          const double slope = reference::slope(
              [&](double v) {
                Row values = row_of(x, r, width);
                values[static_cast<std::size_t>(c)] = v;
                return loss(r, values, row_of(gain, 0, width));
              },
              x.at(r, c));
          const double expected = slope + before.at(r, c);
          ASSERT_NEAR(residual.at(r, c), expected, 2 * rounding() * (std::fabs(expected) + 1) + 1e-4);
        }
      }
      for (std::int64_t c = 0; c < width; c += 5) {
        double gain_slope = 0;
        double bias_slope = 0;
        for (std::int64_t r = 0; r < kRows; ++r) {
          gain_slope += reference::slope(
              [&](double v) {
                Row gains = row_of(gain, 0, width);
                gains[static_cast<std::size_t>(c)] = v;
                return loss(r, row_of(x, r, width), gains);
              },
              gain.at(0, c));
          bias_slope += dy.at(r, c);
        }
        ASSERT_NEAR(std::ldexp(static_cast<double>(dgain[static_cast<std::size_t>(c)]), -kShift), gain_slope,
                    1e-3);
        ASSERT_NEAR(std::ldexp(static_cast<double>(dbias[static_cast<std::size_t>(c)]), -kShift), bias_slope,
                    1e-4);
      }
      append(bits, residual, kRows, width);
      append(bits, dgain);
      append(bits, dbias);
    });
  }
}

TEST_P(ElementwiseOperations, GeluAndItsSlopeAgreeWithFloat64) {
  for (const bool use_erf : {false, true}) {
    const Activation activation = use_erf ? Activation::gelu_erf : Activation::gelu_tanh;
    for (const std::int64_t width : kWidths) {
      expect_equal_everywhere([&](ElementwiseOps& ops, Bits& bits) {
        RandomTensor x(GetParam(), 5, width, 1, 3);
        x.set(0, 0, -30.0f);
        x.set(1, 0, 30.0f);
        x.set(2, 0, 0.0f);
        RandomTensor y(GetParam(), 5, width, 2);
        RandomTensor dy(DType::f32, 5, width, 3);
        RandomTensor dx(GetParam(), 5, width, 4);
        ops.forward(ActivationForward{.activation = activation, .x = x.tensor(), .y = y.tensor()});
        ops.backward(ActivationBackward{
            .activation = activation, .x = x.tensor(), .dy = dy.tensor(), .dx = dx.tensor()});
        for (std::int64_t r = 0; r < 5; ++r) {
          for (std::int64_t c = 0; c < width; ++c) {
            const double expected = reference::gelu(use_erf, x.at(r, c));
            ASSERT_NEAR(y.at(r, c), expected, rounding() * std::fabs(expected) + 2e-7) << x.at(r, c);
            const double slope =
                dy.at(r, c) *
                reference::slope([&](double v) { return reference::gelu(use_erf, v); }, x.at(r, c));
            // 1 - tanh^2 cancels for large x: the slope's error is absolute, and dy multiplies it.
            ASSERT_NEAR(dx.at(r, c), slope,
                        rounding() * std::fabs(slope) + 2e-6 * std::fabs(dy.at(r, c)) + 1e-7)
                << x.at(r, c);
          }
        }
        y.expect_guards_untouched();
        dx.expect_guards_untouched();
        append(bits, y, 5, width);
        append(bits, dx, 5, width);
      });
    }
  }
}

TEST_P(ElementwiseOperations, GatedActivationsAndTheirSlopesAgreeWithFloat64) {
  for (const Activation activation : {Activation::swiglu, Activation::geglu}) {
    const auto act = [&](double v) {
      return activation == Activation::swiglu ? reference::silu(v) : reference::gelu(false, v);
    };
    for (const std::int64_t width : kWidths) {
      expect_equal_everywhere([&](ElementwiseOps& ops, Bits& bits) {
        RandomTensor x(GetParam(), 5, 2 * width, 1, 3);
        x.set(0, 0, -40.0f);
        x.set(1, 0, 40.0f);
        RandomTensor y(GetParam(), 5, width, 2);
        RandomTensor dy(DType::f32, 5, width, 3);
        RandomTensor dx(GetParam(), 5, 2 * width, 4);
        RandomTensor in_place = x;
        ops.forward(ActivationForward{.activation = activation, .x = x.tensor(), .y = y.tensor()});
        ops.backward(ActivationBackward{
            .activation = activation, .x = x.tensor(), .dy = dy.tensor(), .dx = dx.tensor()});
        ops.backward(ActivationBackward{
            .activation = activation, .x = in_place.tensor(), .dy = dy.tensor(), .dx = in_place.tensor()});
        for (std::int64_t r = 0; r < 5; ++r) {
          for (std::int64_t c = 0; c < width; ++c) {
            const double gate = x.at(r, c);
            const double up = x.at(r, width + c);
            const double scale = 1 + std::fabs(up) * (1 + std::fabs(gate));
            ASSERT_NEAR(y.at(r, c), act(gate) * up, rounding() * std::fabs(act(gate) * up) + 1e-6 * scale);
            const double dgate = dy.at(r, c) * up * reference::slope(act, gate);
            const double dup = dy.at(r, c) * act(gate);
            ASSERT_NEAR(dx.at(r, c), dgate, rounding() * std::fabs(dgate) + 1e-5 * scale) << gate;
            ASSERT_NEAR(dx.at(r, width + c), dup, rounding() * std::fabs(dup) + 1e-5) << gate;
            ASSERT_EQ(in_place.at(r, c), dx.at(r, c));
            ASSERT_EQ(in_place.at(r, width + c), dx.at(r, width + c));
          }
        }
        y.expect_guards_untouched();
        dx.expect_guards_untouched();
        append(bits, y, 5, width);
        append(bits, dx, 5, 2 * width);
      });
    }
  }
}

// The mask by its definition in device/random.h.
float multiplier(const Dropout& dropout, std::int64_t token, std::int64_t feature) {
  const PhiloxCounter block = dropout_block(dropout, dropout.samples[token / dropout.sequence],
                                            static_cast<std::uint32_t>(token % dropout.sequence),
                                            static_cast<std::uint32_t>(feature / 8));
  return dropout_bits(block, static_cast<std::uint32_t>(feature % 8)) < dropout.threshold ? 0.0f
                                                                                          : dropout.scale();
}

// Denormals, infinities and every NaN among them: families compute them by different instructions.
TEST_P(ElementwiseOperations, EveryBf16AndAFloatBesideEachActivateAlikeInEveryFamily) {
  constexpr std::int64_t kRows = 256;
  constexpr std::int64_t kColumns = 256;
  RandomTensor x(GetParam(), kRows, 2 * kColumns, 1);
  for (std::uint32_t i = 0; i < kRows * kColumns; ++i) {
    for (const std::uint32_t half : {0u, 1u}) {  // of a gated input
      const std::uint32_t high = half == 0 ? i : i * 40503u & 0xffffu;
      const std::int64_t column = i % kColumns + half * kColumns;
      if (GetParam() == DType::bf16) {
        x.tensor().row<bf16>(i / kColumns)[column] = std::bit_cast<bf16>(static_cast<std::uint16_t>(high));
      } else {
        x.tensor().row<float>(i / kColumns)[column] =
            std::bit_cast<float>(high << 16 | (i * 2654435761u >> 16));
      }
    }
  }
  for (const Activation activation :
       {Activation::gelu_tanh, Activation::gelu_erf, Activation::swiglu, Activation::geglu}) {
    const std::int64_t width = is_gated(activation) ? 2 * kColumns : kColumns;
    expect_equal_everywhere([&](ElementwiseOps& ops, Bits& bits) {
      RandomTensor y(GetParam(), kRows, kColumns, 2);
      RandomTensor dy(GetParam(), kRows, kColumns, 3);
      RandomTensor dx(GetParam(), kRows, width, 4);
      const Tensor input = x.tensor().column_slice(0, width);
      ops.forward(ActivationForward{.activation = activation, .x = input, .y = y.tensor()});
      ops.backward(
          ActivationBackward{.activation = activation, .x = input, .dy = dy.tensor(), .dx = dx.tensor()});
      append(bits, y, kRows, kColumns);
      append(bits, dx, kRows, width);
      for (std::uint32_t& word : bits) {
        // Of bf16 there is one NaN; which a float is, is not promised.
        if (GetParam() == DType::f32 && std::isnan(std::bit_cast<float>(word))) word = 0x7fc00000;
      }
    });
  }
}

TEST_P(ElementwiseOperations, DropoutFollowsItsDefinitionAndResidualsAreRoundedOnce) {
  const std::int64_t samples[] = {7, (std::int64_t{1} << 40) + 3};
  const Dropout dropout{
      .threshold = dropout_threshold(0.25), .seed = 11, .site = 5, .samples = samples, .sequence = 6};
  for (const std::int64_t width : {1, 9, 40, 768}) {
    expect_equal_everywhere([&](ElementwiseOps& ops, Bits& bits) {
      RandomTensor x(DType::f32, 12, width, 1);
      RandomTensor bias(DType::f32, 1, width, 2);
      RandomTensor second_bias(DType::f32, 1, width, 6);
      RandomTensor residual(GetParam(), 12, width, 3);
      RandomTensor y(GetParam(), 12, width, 4);
      RandomTensor dx(GetParam(), 12, width, 5);
      ops.forward(BiasDropoutResidual{.x = x.tensor(),
                                      .bias = vector_of(bias, width),
                                      .second_bias = width == 40 ? vector_of(second_bias, width) : Tensor{},
                                      .residual = residual.tensor(),
                                      .y = y.tensor(),
                                      .dropout = dropout});
      ops.backward(DropoutBackward{.dy = residual.tensor(), .dx = dx.tensor(), .dropout = dropout});
      std::int64_t dropped = 0;
      for (std::int64_t r = 0; r < 12; ++r) {
        for (std::int64_t c = 0; c < width; ++c) {
          const float m = multiplier(dropout, r, c);
          dropped += m == 0 ? 1 : 0;
          const float offset = width == 40 ? bias.at(0, c) + second_bias.at(0, c) : bias.at(0, c);
          const float sum = residual.at(r, c) + (m == 0 ? 0.0f : (x.at(r, c) + offset) * m);
          const bool half = GetParam() == DType::bf16;
          ASSERT_EQ(y.at(r, c), half ? to_float(to_bf16(sum)) : sum);
          const float gradient = m == 0 ? 0.0f : residual.at(r, c) * m;
          ASSERT_EQ(dx.at(r, c), half ? to_float(to_bf16(gradient)) : gradient);
        }
      }
      if (width == 768) {
        EXPECT_NEAR(static_cast<double>(dropped) / (12 * 768), 0.25, 0.02);
      }
      append(bits, y, 12, width);
      append(bits, dx, 12, width);
    });
  }
}

TEST_P(ElementwiseOperations, ADroppedInfinityDoesNotSurvive) {
  const std::int64_t samples[] = {0};
  const Dropout dropout{.threshold = 65535, .seed = 1, .site = 2, .samples = samples, .sequence = 4};
  RandomTensor dy(GetParam(), 4, 24, 1);
  for (std::int64_t c = 0; c < 24; ++c) dy.set(1, c, INFINITY);
  RandomTensor dx(GetParam(), 4, 24, 2);
  ThreadPool pool(1);
  cpu::make_elementwise(pool, cpu::available_isas().back())
      ->backward(DropoutBackward{.dy = dy.tensor(), .dx = dx.tensor(), .dropout = dropout});
  for (std::int64_t c = 0; c < 24; ++c) {
    if (multiplier(dropout, 1, c) == 0) {
      EXPECT_EQ(dx.at(1, c), 0.0f);
    }
  }
}

TEST_P(ElementwiseOperations, TheGradientThroughADropoutThatIsOffIsACopy) {
  RandomTensor dy(GetParam(), 5, 24, 1);
  RandomTensor dx(GetParam(), 5, 24, 2);
  ThreadPool pool(2);
  cpu::make_elementwise(pool, cpu::available_isas().back())
      ->backward(DropoutBackward{.dy = dy.tensor(), .dx = dx.tensor(), .dropout = {}});
  for (std::int64_t r = 0; r < 5; ++r) {
    for (std::int64_t c = 0; c < 24; ++c) ASSERT_EQ(dx.at(r, c), dy.at(r, c));
  }
}

TEST_P(ElementwiseOperations, EmbeddingAddsBothTablesAndItsGradientIsAddedPerToken) {
  constexpr int kShift = 34;
  const std::int32_t ids[] = {3, 0, 3, 10, 3, 9};
  const std::int32_t positions[] = {0, 1, 2, 0, 1, 2};
  for (const std::int64_t width : {1, 16, 70, 256}) {
    expect_equal_everywhere([&](ElementwiseOps& ops, Bits& bits) {
      RandomTensor tokens(GetParam(), 11, width, 1);
      RandomTensor places(GetParam(), 3, width, 2);
      RandomTensor y(GetParam(), 6, width, 3);
      ops.forward(EmbeddingForward{.ids = ids,
                                   .positions = positions,
                                   .token_table = tokens.tensor(),
                                   .position_table = places.tensor(),
                                   .y = y.tensor()});
      RandomTensor dy(GetParam(), 6, width, 4, 1e-2);
      std::vector<std::int64_t> dtokens(static_cast<std::size_t>(11 * width), 0);
      std::vector<std::int64_t> dplaces(static_cast<std::size_t>(3 * width), 0);
      Verdict verdict;
      ops.backward(EmbeddingBackward{.ids = ids,
                                     .positions = positions,
                                     .dy = dy.tensor(),
                                     .dtoken_table = Tensor(dtokens.data(), DType::i64, {11, width}),
                                     .dposition_table = Tensor(dplaces.data(), DType::i64, {3, width}),
                                     .shift = kShift,
                                     .verdict = &verdict});
      EXPECT_FALSE(verdict.bad());
      std::vector<std::int64_t> expected(dtokens.size(), 0);
      std::vector<std::int64_t> expected_places(dplaces.size(), 0);
      for (std::int64_t t = 0; t < 6; ++t) {
        for (std::int64_t c = 0; c < width; ++c) {
          const float sum = tokens.at(ids[t], c) + places.at(positions[t], c);
          ASSERT_EQ(y.at(t, c), GetParam() == DType::bf16 ? to_float(to_bf16(sum)) : sum);
          expected[static_cast<std::size_t>(ids[t] * width + c)] += to_fixed_point(dy.at(t, c), kShift);
          expected_places[static_cast<std::size_t>(positions[t] * width + c)] +=
              to_fixed_point(dy.at(t, c), kShift);
        }
      }
      ASSERT_EQ(dtokens, expected);
      ASSERT_EQ(dplaces, expected_places);
      append(bits, y, 6, width);
      append(bits, dtokens);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, ElementwiseOperations, testing::Values(DType::f32, DType::bf16),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

}  // namespace
}  // namespace megalith
