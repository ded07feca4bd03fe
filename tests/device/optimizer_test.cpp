// The optimizer's operations: AdamW against float64, sums that do not depend on cuts, threads or kernel
// family.

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "core/digest.h"
#include "device/cpu/cpu_device.h"

namespace megalith {
namespace {

constexpr std::int64_t kCount = 40'007;  // several tasks and a short end
constexpr GradientScale kScale{.shift = 34, .divisor = 3000};

std::vector<std::int64_t> random_gradients() {
  std::mt19937_64 random(1);
  std::vector<std::int64_t> gradients;
  for (std::int64_t i = 0; i < kCount; ++i)
    gradients.push_back(static_cast<std::int64_t>(random()) >> (i % 40 + 10));
  return gradients;
}

float mean(std::int64_t fixed) {
  return static_cast<float>(static_cast<double>(fixed) * (std::ldexp(1.0, -kScale.shift) / kScale.divisor));
}

template <class Call>
void for_families_and_threads(const Call& call) {
  for (const cpu::Isa isa : cpu::available_isas()) {
    for (const int threads : {1, 2, 4}) {
      ThreadPool pool(threads);
      call(*cpu::make_optimizer(pool, isa));
    }
  }
}

Tensor slice(std::vector<std::int64_t>& values, std::int64_t begin, std::int64_t count) {
  return {values.data() + begin, DType::i64, {count}};
}

TEST(SquaredNorm, EqualsTheScalarSumForAnyCut) {
  std::vector<std::int64_t> gradients = random_gradients();
  SquareSum expected;
  double plain = 0;
  for (const std::int64_t g : gradients) {
    expected.add(mean(g));
    plain += static_cast<double>(mean(g)) * mean(g);
  }
  EXPECT_NEAR(expected.value(), plain, 1e-9 * plain);
  for_families_and_threads([&](OptimizerOps& ops) {
    EXPECT_EQ(ops.squared_norm({.gradient = slice(gradients, 0, kCount), .scale = kScale}), expected);
    SquareSum parts = ops.squared_norm({.gradient = slice(gradients, 777, kCount - 777), .scale = kScale});
    parts.add(ops.squared_norm({.gradient = slice(gradients, 0, 777), .scale = kScale}));
    EXPECT_EQ(parts, expected);
  });
}

struct State {
  std::vector<float> master, m, v;
  std::vector<bf16> working;
};

State initial_state() {
  State state;
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < kCount; ++i) {
    state.master.push_back(normal(random));
    state.m.push_back(1e-3f * normal(random));
    state.v.push_back(1e-6f * std::fabs(normal(random)));
  }
  state.working.resize(kCount);
  return state;
}

AdamUpdate update_of(State& state, std::vector<std::int64_t>& gradients) {
  return {.gradient = slice(gradients, 0, kCount),
          .master = Tensor(state.master.data(), DType::f32, {kCount}),
          .m = Tensor(state.m.data(), DType::f32, {kCount}),
          .v = Tensor(state.v.data(), DType::f32, {kCount}),
          .working = Tensor(state.working.data(), DType::bf16, {kCount}),
          .scale = kScale,
          .clip = 0.5f,
          .rate = 1e-2f,
          .beta1 = 0.9f,
          .beta2 = 0.95f,
          .epsilon = 1e-8f,
          .decay = 0.1f,
          .bias_correction1 = 1.2f,
          .bias_correction2 = 1.7f};
}

TEST(AdamUpdate, AgreesWithFloat64AndEverywhereByBits) {
  std::vector<std::int64_t> gradients = random_gradients();
  const State before = initial_state();
  State first;
  for_families_and_threads([&](OptimizerOps& ops) {
    State state = before;
    ops.update(update_of(state, gradients));
    if (first.master.empty()) first = state;
    ASSERT_EQ(state.master, first.master);
    ASSERT_EQ(state.m, first.m);
    ASSERT_EQ(state.v, first.v);
  });
  for (std::size_t i = 0; i < before.master.size(); ++i) {
    const double g = 0.5 * mean(gradients[i]);
    const double m = 0.9 * before.m[i] + 0.1 * g;
    const double v = 0.95 * before.v[i] + 0.05 * g * g;
    const double step = m * 1.2 / (std::sqrt(v * 1.7) + 1e-8);
    const double expected = before.master[i] - 1e-2 * (step + 0.1 * before.master[i]);
    ASSERT_NEAR(first.master[i], expected, 1e-6 * (1 + std::fabs(expected)));
    ASSERT_EQ(first.working[i].bits, to_bf16(first.master[i]).bits);
  }
}

TEST(ParameterDigest, ComposesOverCutsAndSeesEveryBit) {
  State state = initial_state();
  state.master[5] = -0.0f;
  state.master[40] = NAN;
  state.master[41] = -NAN;
  state.master[42] = -INFINITY;
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < state.master.size(); ++i) {
    expected += element_digest(100 + i, std::bit_cast<std::uint32_t>(state.master[i]));
  }
  for_families_and_threads([&](OptimizerOps& ops) {
    const auto part = [&](std::int64_t begin, std::int64_t count) {
      return ops.digest(Tensor(state.master.data() + begin, DType::f32, {count}),
                        100 + static_cast<std::uint64_t>(begin));
    };
    EXPECT_EQ(part(0, kCount), expected);
    EXPECT_EQ(part(0, 9) + part(9, kCount - 9), expected);
    // 40,000 elements as rows of 1,000, cut by columns, and the seven that are left.
    const Tensor rows(state.master.data(), DType::f32, {40, 1000});
    EXPECT_EQ(ops.digest(rows.column_slice(0, 333), 100, 1000) +
                  ops.digest(rows.column_slice(333, 667), 433, 1000) + part(40'000, 7),
              expected);
  });
  state.master[1234] = std::nextafter(state.master[1234], 10.0f);
  ThreadPool pool(1);
  EXPECT_NE(cpu::make_optimizer(pool, cpu::Isa::portable)
                ->digest(Tensor(state.master.data(), DType::f32, {kCount}), 100),
            expected);
}

TEST(AllFinite, FindsOneBadElementAnywhere) {
  for_families_and_threads([&](OptimizerOps& ops) {
    std::vector<float> values(67 * 33, 1.0f);
    const Tensor tensor(values.data(), DType::f32, {67, 33});
    EXPECT_TRUE(ops.all_finite(tensor));
    for (const std::size_t place : {0u, 16u, 32u, 67u * 33u - 1u}) {
      for (const float bad : {NAN, -INFINITY}) {
        values[place] = bad;
        EXPECT_FALSE(ops.all_finite(tensor)) << place;
        values[place] = 1.0f;
      }
    }
  });
}

}  // namespace
}  // namespace megalith
