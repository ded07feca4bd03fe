// Rotary positions and head norms: right against float64 and its finite differences, equal by bits in every
// kernel family and for any number of threads.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "device/random_tensor.h"
#include "reference/elementwise_reference.h"

namespace megalith {
namespace {

using reference::Row;
using test::RandomTensor;

constexpr std::int64_t kRows = 70;  // two blocks of 32 and a short one
constexpr std::int64_t kPositions = 11;
constexpr int kShift = 30;

struct Shape {
  int heads, head_size, rotated;
  bool norm;
};
constexpr Shape kShapes[] = {{2, 16, 16, false},  {3, 6, 6, false}, {1, 80, 20, false},
                             {2, 128, 128, true}, {2, 10, 4, true}, {2, 32, 0, true}};

// Operands and results of one forward and backward call.
struct Case {
  Case(const Shape& s, DType d)
      : shape(s),
        dtype(d),
        x(d, kRows, std::int64_t{s.heads} * s.head_size, 1, 1.5, 5),
        y(d, kRows, std::int64_t{s.heads} * s.head_size, 2),
        dy(d, kRows, std::int64_t{s.heads} * s.head_size, 3),
        dx(d, kRows, std::int64_t{s.heads} * s.head_size, 4),
        gain(DType::f32, 1, s.head_size, 5),
        table(DType::f32, kPositions, std::max(s.rotated, 1), 6),
        rstd(DType::f32, kRows, s.heads, 7),
        dgain(static_cast<std::size_t>(s.head_size), 0) {
    for (std::int64_t p = 0; p < kPositions; ++p) {
      for (int i = 0; i < s.rotated / 2; ++i) {
        const double angle = static_cast<double>(p) * std::pow(100.0, -2.0 * i / s.rotated);
        table.set(p, i, static_cast<float>(std::cos(angle)));
        table.set(p, s.rotated / 2 + i, static_cast<float>(std::sin(angle)));
      }
    }
    for (std::int64_t r = 0; r < kRows; ++r)
      positions.push_back(static_cast<std::int32_t>(r * 7 % kPositions));
  }
  [[nodiscard]] HeadRotation rotation() {
    return {.head_size = shape.head_size,
            .gain = shape.norm ? Tensor(gain.tensor().data, DType::f32, {shape.head_size}) : Tensor{},
            .epsilon = 1e-5f,
            .table = shape.rotated > 0 ? table.tensor() : Tensor{},
            .positions = positions.data()};
  }
  void run(ElementwiseOps& ops) {
    ops.forward(HeadRotationForward{.rotation = rotation(),
                                    .x = x.tensor(),
                                    .y = y.tensor(),
                                    .rstd = shape.norm ? rstd.tensor() : Tensor{}});
    ops.backward(HeadRotationBackward{.rotation = rotation(),
                                      .dy = dy.tensor(),
                                      .x = shape.norm ? x.tensor() : Tensor{},
                                      .rstd = shape.norm ? rstd.tensor() : Tensor{},
                                      .dx = dx.tensor(),
                                      .dgain = Tensor(dgain.data(), DType::i64, {shape.head_size}),
                                      .shift = kShift,
                                      .verdict = &verdict});
  }
  [[nodiscard]] Row head(const RandomTensor& tensor, std::int64_t row, int h) const {
    Row result;
    for (int i = 0; i < shape.head_size; ++i)
      result.push_back(tensor.at(row, std::int64_t{h} * shape.head_size + i));
    return result;
  }
  [[nodiscard]] Row gains() const {
    Row result;
    for (int i = 0; i < shape.head_size; ++i) result.push_back(gain.at(0, i));
    return result;
  }
  [[nodiscard]] Row expected(std::int64_t row, const Row& input, const Row& with_gains) const {
    Row cosines;
    Row sines;
    for (int i = 0; i < shape.rotated / 2; ++i) {
      cosines.push_back(table.at(positions[static_cast<std::size_t>(row)], i));
      sines.push_back(table.at(positions[static_cast<std::size_t>(row)], shape.rotated / 2 + i));
    }
    return reference::rotate(shape.norm ? reference::rms_norm(input, with_gains, 1e-5) : input, cosines,
                             sines);
  }
  [[nodiscard]] double weighted_sum(std::int64_t row, int h, const Row& input, const Row& with_gains) const {
    const Row out = expected(row, input, with_gains);
    const Row weights = head(dy, row, h);
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * weights[i];
    return sum;
  }

  Shape shape;
  DType dtype;
  RandomTensor x, y, dy, dx, gain, table, rstd;
  std::vector<std::int64_t> dgain;
  std::vector<std::int32_t> positions;
  Verdict verdict;
};

class HeadRotations : public testing::TestWithParam<DType> {
 protected:
  [[nodiscard]] double rounding() const { return GetParam() == DType::bf16 ? 0x1p-8 : 0x1p-20; }
};

TEST_P(HeadRotations, AgreeWithFloat64AndFiniteDifferences) {
  ThreadPool pool(2);
  for (const Shape& shape : kShapes) {
    Case c(shape, GetParam());
    c.run(*cpu::make_elementwise(pool, cpu::available_isas().back()));
    EXPECT_FALSE(c.verdict.bad());
    for (std::int64_t r = 0; r < kRows; r += 9) {
      for (int h = 0; h < shape.heads; ++h) {
        const Row input = c.head(c.x, r, h);
        const Row out = c.expected(r, input, c.gains());
        for (int i = 0; i < shape.head_size; ++i) {
          const std::int64_t column = std::int64_t{h} * shape.head_size + i;
          const auto at = static_cast<std::size_t>(i);
          ASSERT_NEAR(c.y.at(r, column), out[at], rounding() * (std::fabs(out[at]) + 1));
          const double slope = reference::slope(
              [&](double v) {
                Row changed = input;
                changed[at] = v;
                return c.weighted_sum(r, h, changed, c.gains());
              },
              input[at]);
          ASSERT_NEAR(c.dx.at(r, column), slope, 2 * rounding() * (std::fabs(slope) + 1) + 1e-5);
        }
      }
    }
    c.y.expect_guards_untouched();
    c.dx.expect_guards_untouched();
  }
}

TEST_P(HeadRotations, TheGainsGradientAgreesWithFiniteDifferences) {
  ThreadPool pool(2);
  for (const Shape& shape : kShapes) {
    if (!shape.norm) continue;
    Case c(shape, GetParam());
    c.run(*cpu::make_elementwise(pool, cpu::available_isas().back()));
    for (int i = 0; i < shape.head_size; i += 3) {
      const auto at = static_cast<std::size_t>(i);
      double slope = 0;
      for (std::int64_t r = 0; r < kRows; ++r) {
        for (int h = 0; h < shape.heads; ++h) {
          slope += reference::slope(
              [&](double v) {
                Row gains = c.gains();
                gains[at] = v;
                return c.weighted_sum(r, h, c.head(c.x, r, h), gains);
              },
              c.gain.at(0, i));
        }
      }
      EXPECT_NEAR(std::ldexp(static_cast<double>(c.dgain[at]), -kShift), slope, 1e-3);
    }
  }
}

TEST_P(HeadRotations, AreTheSameBitsEverywhereAndInPlace) {
  for (const Shape& shape : kShapes) {
    std::vector<std::uint32_t> expected;
    for (const cpu::Isa isa : cpu::available_isas()) {
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        const std::unique_ptr<ElementwiseOps> ops = cpu::make_elementwise(pool, isa);
        Case c(shape, GetParam());
        c.run(*ops);
        std::vector<std::uint32_t> bits;
        for (std::int64_t r = 0; r < kRows; ++r) {
          for (std::int64_t i = 0; i < std::int64_t{shape.heads} * shape.head_size; ++i) {
            bits.push_back(std::bit_cast<std::uint32_t>(c.y.at(r, i)));
            bits.push_back(std::bit_cast<std::uint32_t>(c.dx.at(r, i)));
          }
        }
        for (const std::int64_t sum : c.dgain) bits.push_back(static_cast<std::uint32_t>(sum));
        if (expected.empty()) expected = bits;
        ASSERT_EQ(bits, expected) << cpu::name_of(isa) << ", " << threads << " threads";
        if (shape.norm) continue;
        ops->forward(
            HeadRotationForward{.rotation = c.rotation(), .x = c.x.tensor(), .y = c.x.tensor(), .rstd = {}});
        for (std::int64_t i = 0; i < shape.head_size; ++i) ASSERT_EQ(c.x.at(1, i), c.y.at(1, i));
      }
    }
  }
}

TEST_P(HeadRotations, DeclareAGainGradientThatIsNoNumberBad) {
  ThreadPool pool(1);
  Case c(kShapes[3], GetParam());
  c.dy.set(40, 3, NAN);
  c.run(*cpu::make_elementwise(pool, cpu::available_isas().back()));
  EXPECT_TRUE(c.verdict.bad());
}

INSTANTIATE_TEST_SUITE_P(Dtypes, HeadRotations, testing::Values(DType::f32, DType::bf16),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

}  // namespace
}  // namespace megalith
