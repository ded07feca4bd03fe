// Gradients that are summed in fp32: right against float64, and one set of bits against the sums written out,
// whatever the kernel family and the number of threads.

#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <memory>
#include <vector>

#include "core/floating_point_mode.h"
#include "device/cpu/cpu_device.h"
#include "device/random_tensor.h"
#include "reference/matmul_reference.h"

namespace megalith {
namespace {

using reference::PlantedBug;
using test::RandomTensor;

constexpr int kShift = 34;  // sums stay below 2^28

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

void everywhere(const std::function<void(Device&)>& body) {
  set_floating_point_mode();
  for (const cpu::Isa isa : cpu::available_isas()) {
    for (const int threads : {1, 2, 3}) {
      SCOPED_TRACE(std::string(cpu::name_of(isa)) + ", threads " + std::to_string(threads));
      body(*cpu::make_device(threads, isa));
    }
  }
}

class FloatGradients : public testing::TestWithParam<DType> {
 protected:
  [[nodiscard]] bool pairs() const { return GetParam() == DType::bf16; }
};

TEST_P(FloatGradients, OfAWeightGoOnAsOneChainFromCallToCall) {
  struct Shape {
    std::int64_t tokens, outputs, inputs;
  };
  for (const Shape& shape : {Shape{96, 37, 70}, {96, 6, 64}, {96, 50, 3}, {2592, 49, 5}, {288, 101, 66}}) {
    const std::int64_t tokens = shape.tokens, outputs = shape.outputs, inputs = shape.inputs;
    RandomTensor dy(GetParam(), tokens, outputs, 14, 1e-3, 4);
    RandomTensor x(GetParam(), tokens, inputs, 15, 1, 2);
    const RandomTensor before(DType::f32, outputs, inputs, 16, 1e-2, 5);
    everywhere([&](Device& device) {
      for (const std::int64_t part : {tokens, tokens / 2, tokens / 3}) {
        RandomTensor dw = before;
        Verdict verdict;
        for (std::int64_t begin = 0; begin < tokens; begin += part) {
          device.matmul().weight_gradient({.dy = dy.tensor().row_slice(begin, part),
                                           .x = x.tensor().row_slice(begin, part),
                                           .dw = dw.tensor(),
                                           .grain = 32,
                                           .shift = kShift,
                                           .verdict = &verdict});
        }
        EXPECT_FALSE(verdict.bad());
        dw.expect_guards_untouched();
        for (std::int64_t n = 0; n < outputs; ++n) {
          for (std::int64_t k = 0; k < inputs; ++k) {
            const auto a = [&](std::int64_t t) { return dy.at(t, n); };
            const auto b = [&](std::int64_t t) { return x.at(t, k); };
            ASSERT_EQ(bits(dw.at(n, k)),
                      bits(reference::float_gradient(before.at(n, k), tokens, pairs(), a, b)));
            double magnitude = std::fabs(static_cast<double>(before.at(n, k)));
            const double sum = before.at(n, k) + reference::double_element(tokens, a, b, &magnitude);
            // A rounding per token of a running sum no larger than the sum of magnitudes.
            ASSERT_NEAR(dw.at(n, k), sum, static_cast<double>(tokens) * 0x1p-24 * magnitude);
          }
        }
      }
    });
  }
}

TEST_P(FloatGradients, OfAWeightThatLeaveTheirRangeAreDeclaredBad) {
  struct Probe {
    float before, value;
    bool bad;
  };
  for (const Probe probe :
       {Probe{0, 0x1p28f, true}, Probe{0, -0x1p28f, true}, Probe{0, 0x1p27f, false},
        Probe{0x1p27f, 0x1p27f, true}, Probe{0, INFINITY, true}, Probe{0, NAN, true}, Probe{NAN, 0, true}}) {
    everywhere([&](Device& device) {
      RandomTensor dy(GetParam(), 16, 10, 16, 0);
      RandomTensor x(GetParam(), 16, 20, 17, 0);
      RandomTensor dw(DType::f32, 10, 20, 18, 0);
      dy.set(11, 9, probe.value);
      x.set(11, 19, 1.0f);
      dw.set(9, 19, probe.before);
      Verdict verdict;
      device.matmul().weight_gradient(
          {.dy = dy.tensor(), .x = x.tensor(), .dw = dw.tensor(), .shift = kShift, .verdict = &verdict});
      EXPECT_EQ(verdict.bad(), probe.bad) << probe.before << " + " << probe.value;
    });
  }
}

TEST_P(FloatGradients, OfEmbeddingsAreAddedInTheOrderOfTheTokens) {
  const std::int32_t ids[] = {3, 0, 3, 10, 3, 9};
  const std::int32_t positions[] = {0, 1, 2, 0, 1, 2};
  for (const std::int64_t width : {1, 16, 70, 256}) {
    RandomTensor dy(GetParam(), 6, width, 4, 1e-2);
    everywhere([&](Device& device) {
      RandomTensor tokens(DType::f32, 7, width, 5, 1, 3);  // rows 4 to 10 of the table
      RandomTensor places(DType::f32, 3, width, 6);
      const RandomTensor tokens_before = tokens;
      const RandomTensor places_before = places;
      Verdict verdict;
      device.elementwise().backward(EmbeddingBackward{.ids = ids,
                                                      .positions = positions,
                                                      .dy = dy.tensor(),
                                                      .dtoken_table = tokens.tensor(),
                                                      .dposition_table = places.tensor(),
                                                      .shift = kShift,
                                                      .verdict = &verdict,
                                                      .first_row = 3});
      EXPECT_FALSE(verdict.bad());
      tokens.expect_guards_untouched();
      for (std::int64_t c = 0; c < width; ++c) {
        for (std::int32_t row = 0; row < 7; ++row) {
          float sum = tokens_before.at(row, c);
          for (std::int64_t t = 0; t < 6; ++t) sum = ids[t] == row + 3 ? sum + dy.at(t, c) : sum;
          ASSERT_EQ(bits(tokens.at(row, c)), bits(sum));
        }
        for (std::int32_t row = 0; row < 3; ++row) {
          float sum = places_before.at(row, c);
          for (std::int64_t t = 0; t < 6; ++t) sum = positions[t] == row ? sum + dy.at(t, c) : sum;
          ASSERT_EQ(bits(places.at(row, c)), bits(sum));
        }
      }
      tokens.set(0, width - 1, 0x1p28f);
      device.elementwise().backward(EmbeddingBackward{.ids = ids,
                                                      .positions = positions,
                                                      .dy = dy.tensor(),
                                                      .dtoken_table = tokens.tensor(),
                                                      .shift = kShift,
                                                      .verdict = &verdict,
                                                      .first_row = 3});
      EXPECT_TRUE(verdict.bad());
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, FloatGradients, testing::Values(DType::f32, DType::bf16),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

TEST(FloatGradientsOfRanks, AreAddedInTheOrderOfTheRanks) {
  for (const std::int64_t ranks : {1, 2, 3, 8}) {
    for (const std::int64_t count : {1, 31, 40'007}) {
      RandomTensor parts(DType::f32, ranks, count, 19);
      everywhere([&](Device& device) {
        RandomTensor y(DType::f32, 1, count, 20);
        const Tensor flat(y.tensor().data, DType::f32, {count});
        Verdict verdict;
        device.shards().rank_sum({.parts = parts.tensor(), .y = flat, .shift = kShift, .verdict = &verdict});
        y.expect_guards_untouched();
        EXPECT_FALSE(verdict.bad());
        for (std::int64_t i = 0; i < count; ++i) {
          float sum = parts.at(0, i);
          for (std::int64_t r = 1; r < ranks; ++r) sum += parts.at(r, i);
          ASSERT_EQ(bits(y.at(0, i)), bits(sum));
        }
        for (const float wild : {0x1p28f, INFINITY, NAN}) {
          RandomTensor bad = parts;
          bad.set(ranks - 1, count - 1, wild);
          Verdict found;
          device.shards().rank_sum({.parts = bad.tensor(), .y = flat, .shift = kShift, .verdict = &found});
          EXPECT_TRUE(found.bad()) << wild;
        }
      });
    }
  }
}

constexpr std::int64_t kCount = 40'007;  // several tasks and a short end

Tensor flat(RandomTensor& values) {
  return {values.tensor().data, DType::f32, {kCount}};
}

TEST(FloatGradientsInTheOptimizer, HaveTheNormThatFloat64Has) {
  constexpr GradientScale kScale{.shift = kShift, .divisor = 3000};
  RandomTensor gradient(DType::f32, 1, kCount, 21, 10);
  double expected = 0;
  for (std::int64_t i = 0; i < kCount; ++i) {
    const double g = gradient.at(0, i) / 3000.0;
    expected += g * g;
  }
  std::vector<SquareSum> sums;
  everywhere([&](Device& device) {
    sums.push_back(device.optimizer().squared_norm({.gradient = flat(gradient), .scale = kScale}));
    // Three roundings to fp32 in each square: of 1 / divisor, of its product with g, twice.
    EXPECT_NEAR(sums.back().value(), expected, 4 * 0x1p-24 * expected);
    EXPECT_EQ(sums.back(), sums.front());
  });
  // A sum that is not finite comes with a bad verdict; here it must not do worse than that.
  gradient.set(0, 7, INFINITY);
  everywhere([&](Device& device) {
    EXPECT_GE(device.optimizer().squared_norm({.gradient = flat(gradient), .scale = kScale}).value(), 0x1p54);
  });
}

// One update by floats beside one by integers of the same values: m, v and the master may differ as much as
// the mean gradients do, by its two roundings.
TEST(FloatGradientsInTheOptimizer, MakeTheUpdateThatIntegersMake) {
  RandomTensor gradient(DType::f32, 1, kCount, 22, 100);
  std::vector<std::int64_t> integers;
  for (std::int64_t i = 0; i < kCount; ++i) integers.push_back(to_fixed_point(gradient.at(0, i), kShift));
  const RandomTensor start(DType::f32, 1, kCount, 23);
  const auto updated = [&](Device& device, const Tensor& g, RandomTensor& m) {
    RandomTensor master = start;
    RandomTensor v(DType::f32, 1, kCount, 24, 0);
    device.optimizer().update({.gradient = g,
                               .master = flat(master),
                               .m = flat(m),
                               .v = flat(v),
                               .scale = {.shift = kShift, .divisor = 3000},
                               .clip = 0.5f,
                               .rate = 1e-2f,
                               .decay = 0.1f,
                               .bias_correction1 = 10,
                               .bias_correction2 = 20});
    return master;
  };
  everywhere([&](Device& device) {
    RandomTensor m(DType::f32, 1, kCount, 25, 0);
    RandomTensor m_of_integers = m;
    const RandomTensor floats = updated(device, flat(gradient), m);
    const RandomTensor exact = updated(device, Tensor(integers.data(), DType::i64, {kCount}), m_of_integers);
    for (std::int64_t i = 0; i < kCount; ++i) {
      ASSERT_NEAR(m.at(0, i), m_of_integers.at(0, i), 4 * 0x1p-24 * std::fabs(m.at(0, i)));
      // A step is about the rate here, and differs as m and sqrt(v) do; the two masters are rounded apart.
      ASSERT_NEAR(floats.at(0, i), exact.at(0, i),
                  1e-2 * 8 * 0x1p-24 + 2 * 0x1p-24 * std::fabs(exact.at(0, i)));
    }
  });
}

// The twin above would be no test if a call's sum that is added afterwards gave the same bits.
TEST(PlantedBugs, ChangeBitsOfFloatGradients) {
  set_floating_point_mode();
  RandomTensor a(DType::bf16, 1, 256, 26);
  RandomTensor b(DType::bf16, 1, 256, 27);
  for (const PlantedBug bug : {PlantedBug::low_element_first, PlantedBug::block_sum_added}) {
    int different = 0;
    for (int shifted = 0; shifted < 32; ++shifted) {
      const auto x = [&](std::int64_t i) { return a.at(0, (i + shifted) % 256); };
      const auto y = [&](std::int64_t i) { return b.at(0, i); };
      different += reference::float_gradient(0.3f, 256, true, x, y, bug) !=
                   reference::float_gradient(0.3f, 256, true, x, y);
    }
    EXPECT_GT(different, 0);
  }
}

}  // namespace
}  // namespace megalith
