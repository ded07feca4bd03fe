// Cross entropy: right against float64, blind to padding and masked rows, equal by bits everywhere.

#include <gtest/gtest.h>

#include <bit>

#include "device/cpu/cpu_device.h"
#include "device/random_tensor.h"
#include "reference/elementwise_reference.h"

namespace megalith {
namespace {

using test::RandomTensor;

constexpr int kLeaves = 8;

std::int64_t padded(std::int64_t vocabulary) {
  return (vocabulary + 127) / 128 * 128;
}

struct Result {
  std::vector<std::uint32_t> log_probability, gradient;
  bool operator==(const Result&) const = default;
};

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

Result run(RandomTensor& logits, const std::vector<std::int32_t>& targets,
           const std::vector<std::uint8_t>& mask, std::int64_t vocabulary, cpu::Isa isa, int threads,
           DType dtype, float softcap = 0, float z_loss = 0) {
  const auto rows = static_cast<std::int64_t>(targets.size());
  RandomTensor log_probability(DType::f32, 1, rows, 1);
  RandomTensor state(DType::f32, rows, 2, 2);
  RandomTensor gradient(dtype, rows, padded(vocabulary), 3);
  ThreadPool pool(threads);
  const std::unique_ptr<LossOps> ops = cpu::make_loss(pool, isa);
  const CrossEntropyShape shape{
      .vocabulary = vocabulary, .leaves = kLeaves, .vocab_block = 64, .softcap = softcap, .z_loss = z_loss};
  ops->forward(
      CrossEntropyForward{.shape = shape,
                          .logits = logits.tensor(),
                          .targets = targets.data(),
                          .log_probability = Tensor(log_probability.tensor().data, DType::f32, {rows}),
                          .log_sum_exp = state.tensor()});
  ops->backward(CrossEntropyBackward{.shape = shape,
                                     .logits = logits.tensor(),
                                     .targets = targets.data(),
                                     .loss_mask = mask.data(),
                                     .log_sum_exp = state.tensor(),
                                     .dlogits = gradient.tensor()});
  gradient.expect_guards_untouched();
  Result result;
  for (std::int64_t r = 0; r < rows; ++r) {
    result.log_probability.push_back(bits(log_probability.at(0, r)));
    for (std::int64_t c = 0; c < padded(vocabulary); ++c) result.gradient.push_back(bits(gradient.at(r, c)));
  }
  return result;
}

// Random logits whose padding columns are NaN.
RandomTensor random_logits(std::int64_t rows, std::int64_t vocabulary, double deviation) {
  RandomTensor logits(DType::f32, rows, padded(vocabulary), 4, deviation);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = vocabulary; c < padded(vocabulary); ++c) logits.set(r, c, NAN);
  }
  return logits;
}

float as_float(std::uint32_t value) {
  return std::bit_cast<float>(value);
}

TEST(CrossEntropy, AgreesWithFloat64AndEverywhereByBits) {
  for (const std::int64_t vocabulary : {1, 17, 509, 512, 2000}) {
    RandomTensor logits = random_logits(5, vocabulary, 3);
    std::vector<std::int32_t> targets;
    for (int r = 0; r < 5; ++r) targets.push_back(static_cast<std::int32_t>((r * 7919) % vocabulary));
    const std::vector<std::uint8_t> mask(5, 1);
    const Result first = run(logits, targets, mask, vocabulary, cpu::Isa::portable, 1, DType::f32);
    for (std::int64_t r = 0; r < 5; ++r) {
      reference::Row row;
      for (std::int64_t c = 0; c < vocabulary; ++c) row.push_back(logits.at(r, c));
      const auto target = static_cast<std::size_t>(targets[static_cast<std::size_t>(r)]);
      const double expected = reference::log_softmax(row, target);
      EXPECT_NEAR(as_float(first.log_probability[static_cast<std::size_t>(r)]), expected,
                  3e-6 * (std::fabs(expected) + 1));
      for (std::size_t c = 0; c < static_cast<std::size_t>(padded(vocabulary)); ++c) {
        const float found = as_float(first.gradient[static_cast<std::size_t>(r * padded(vocabulary)) + c]);
        if (c >= static_cast<std::size_t>(vocabulary)) {
          ASSERT_EQ(bits(found), 0u) << "padding";
          continue;
        }
        const double p = std::exp(reference::log_softmax(row, c)) - (c == target ? 1 : 0);
        ASSERT_NEAR(found, p, 2e-6);
      }
    }
    for (const cpu::Isa isa : cpu::available_isas()) {
      for (const int threads : {1, 3}) {
        EXPECT_EQ(run(logits, targets, mask, vocabulary, isa, threads, DType::f32), first)
            << cpu::name_of(isa);
      }
    }
    const Result half = run(logits, targets, mask, vocabulary, cpu::Isa::portable, 1, DType::bf16);
    for (const cpu::Isa isa : cpu::available_isas()) {
      EXPECT_EQ(run(logits, targets, mask, vocabulary, isa, 2, DType::bf16), half) << cpu::name_of(isa);
    }
  }
}

// Which NaN a float is, is not promised.
void make_nans_equal(std::vector<std::uint32_t>& list) {
  for (std::uint32_t& word : list) {
    if (std::isnan(as_float(word))) word = 0x7fc00000;
  }
}

// Probabilities from 1 down to denormal ones, which are flushed, and rows that hold what is no number.
TEST(CrossEntropy, OfLogitsFarApartOrNotFiniteHasTheSameBitsEverywhere) {
  constexpr std::int64_t kVocabulary = 509;
  const std::vector<std::int32_t> targets = {0, 508, 3, 77, 5, 6};
  RandomTensor logits = random_logits(6, kVocabulary, 0);
  for (std::int64_t c = 0; c < kVocabulary; ++c) {
    for (std::int64_t r = 0; r < 5; ++r) logits.set(r, c, static_cast<float>(c - 254) * 0.4f);
    logits.set(5, c, -INFINITY);
  }
  logits.set(1, 100, INFINITY);
  logits.set(2, 300, NAN);
  logits.set(3, 508, std::bit_cast<float>(0xffa00001u));  // a NaN with a sign, that signals
  logits.set(4, 0, -INFINITY);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const auto& [softcap, z_loss] : {std::pair{0.0f, 0.0f}, {120.0f, 0.01f}}) {
      const auto found = [&, cap = softcap, z = z_loss](cpu::Isa isa) {
        Result result = run(logits, targets, {1, 1, 1, 1, 1, 1}, kVocabulary, isa, 2, dtype, cap, z);
        make_nans_equal(result.log_probability);
        if (dtype == DType::f32) make_nans_equal(result.gradient);  // of bf16 there is but one
        return result;
      };
      const Result first = found(cpu::Isa::portable);
      for (const cpu::Isa isa : cpu::available_isas()) EXPECT_EQ(found(isa), first) << cpu::name_of(isa);
      const auto of_row = [&](std::int64_t r) {
        return first.gradient[static_cast<std::size_t>(r * padded(kVocabulary) + 250)];
      };
      EXPECT_EQ(of_row(0), 0U);
      EXPECT_TRUE(std::isnan(as_float(of_row(2))));
    }
  }
}

// What is minimised, in float64: the loss of capped logits plus z_loss times their squared log sum.
double objective(const reference::Row& raw, std::size_t target, double softcap, double z_loss) {
  reference::Row logits;
  double sum = 0;
  for (const double z : raw) {
    logits.push_back(softcap == 0 ? z : softcap * std::tanh(z / softcap));
    sum += std::exp(logits.back());
  }
  return -reference::log_softmax(logits, target) + z_loss * std::log(sum) * std::log(sum);
}

TEST(CrossEntropy, WithASoftcapAndAZLossHasTheSlopeOfFiniteDifferences) {
  constexpr std::int64_t kVocabulary = 77;
  const std::vector<std::int32_t> targets = {5, 76};
  for (const auto& [softcap, z_loss] : {std::pair{5.0f, 0.0f}, {0.0f, 0.01f}, {7.0f, 0.02f}}) {
    RandomTensor raw = random_logits(2, kVocabulary, 4);
    RandomTensor logits = raw;
    ThreadPool pool(2);
    if (softcap != 0)
      cpu::make_loss(pool, cpu::available_isas().back())->cap({.logits = logits.tensor(), .cap = softcap});
    const Result found = run(logits, targets, {1, 1}, kVocabulary, cpu::available_isas().back(), 2,
                             DType::f32, softcap, z_loss);
    for (std::int64_t r = 0; r < 2; ++r) {
      reference::Row row;
      for (std::int64_t c = 0; c < kVocabulary; ++c) row.push_back(raw.at(r, c));
      const auto target = static_cast<std::size_t>(targets[static_cast<std::size_t>(r)]);
      for (std::size_t c = 0; c < row.size(); ++c) {
        const double slope = reference::slope(
            [&, cap = softcap, z = z_loss](double v) {
              reference::Row changed = row;
              changed[c] = v;
              return objective(changed, target, cap, z);
            },
            row[c]);
        ASSERT_NEAR(as_float(found.gradient[static_cast<std::size_t>(r * padded(kVocabulary)) + c]), slope,
                    3e-6);
      }
    }
    for (const cpu::Isa isa : cpu::available_isas()) {
      EXPECT_EQ(run(logits, targets, {1, 1}, kVocabulary, isa, 1, DType::f32, softcap, z_loss), found);
    }
  }
}

TEST(SoftCap, AgreesWithFloat64AndEverywhereByBits) {
  RandomTensor expected(DType::f32, 1, 1, 1);
  for (const cpu::Isa isa : cpu::available_isas()) {
    ThreadPool pool(2);
    RandomTensor logits(DType::f32, 9, 131, 4, 40);
    RandomTensor before = logits;
    cpu::make_loss(pool, isa)->cap({.logits = logits.tensor(), .cap = 30.0f});
    logits.expect_guards_untouched();
    if (isa == cpu::available_isas().front()) expected = logits;
    for (std::int64_t r = 0; r < 9; ++r) {
      for (std::int64_t c = 0; c < 131; ++c) {
        ASSERT_NEAR(logits.at(r, c), 30 * std::tanh(before.at(r, c) / 30.0), 1.5e-5);
        ASSERT_EQ(bits(logits.at(r, c)), bits(expected.at(r, c))) << cpu::name_of(isa);
      }
    }
  }
}

TEST(CrossEntropy, OfEqualLogitsIsLnV) {
  for (const std::int64_t vocabulary : {509, 512, 50257}) {
    RandomTensor logits = random_logits(1, vocabulary, 0);
    const Result result = run(logits, {3}, {1}, vocabulary, cpu::available_isas().back(), 1, DType::f32);
    EXPECT_NEAR(-as_float(result.log_probability[0]), std::log(static_cast<double>(vocabulary)), 1e-6 * 11);
  }
}

TEST(CrossEntropy, MaskedRowsAreSelectedToZeroWhateverTheyHold) {
  RandomTensor logits = random_logits(2, 100, 1);
  logits.set(0, 5, INFINITY);
  logits.set(0, 6, NAN);
  const Result result = run(logits, {1, 2}, {0, 1}, 100, cpu::available_isas().back(), 1, DType::bf16);
  for (std::size_t c = 0; c < 128; ++c) EXPECT_EQ(result.gradient[c], 0u);
  EXPECT_NE(as_float(result.gradient[128 + 2]), 0.0f);
}

TEST(LossSum, CountsMaskedTokensAsIntegersAndDeclaresWhatIsNoLoss) {
  ThreadPool pool(1);
  const std::unique_ptr<LossOps> ops = cpu::make_loss(pool, cpu::Isa::portable);
  const auto sum_of = [&](std::vector<float> log_probability, const std::vector<std::uint8_t>& mask,
                          bool* bad) {
    std::int64_t sum = 0;
    std::int64_t count = 0;
    Verdict verdict;
    ops->sum({.log_probability = Tensor(log_probability.data(), DType::f32,
                                        {static_cast<std::int64_t>(log_probability.size())}),
              .loss_mask = mask.data(),
              .sum = &sum,
              .count = &count,
              .verdict = &verdict});
    *bad = verdict.bad();
    return std::pair(sum, count);
  };
  bool bad = true;
  EXPECT_EQ(sum_of({-1.5f, -2.0f, -0.25f}, {1, 0, 1}, &bad),
            std::pair((std::int64_t{7} << 32) / 4, std::int64_t{2}));
  EXPECT_FALSE(bad);
  sum_of({NAN, -1.0f}, {0, 1}, &bad);
  EXPECT_FALSE(bad);
  for (const float value : {NAN, -INFINITY, -0x1p20f}) {
    sum_of({value}, {1}, &bad);
    EXPECT_TRUE(bad) << value;
  }
}

}  // namespace
}  // namespace megalith
