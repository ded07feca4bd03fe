// Exact products: right against float64, and one set of bits against the chain written out.

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "core/arena.h"
#include "core/floating_point_mode.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/matmul/matmul_kernels.h"
#include "device/random_tensor.h"
#include "reference/matmul_reference.h"

namespace megalith {
namespace {

using reference::PlantedBug;
using test::RandomTensor;

struct Case {
  std::int64_t tokens, outputs, inputs;
  SumOrder forward, backward;
};

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const std::int64_t tokens : {1, 5, 6, 7, 13, 70}) {
    list.push_back({tokens, 24, 40, {.leaves = 8}, {.leaves = 8}});
    list.push_back({tokens, 67, 33, {}, {}});
  }
  list.push_back({9, 8 * 3, 8 * 5, {.leaves = 8}, {.leaves = 8}});  // odd leaves
  list.push_back(
      {9, 3 * 8 * 3, 64, {.leaves = 4}, {.leaves = 8, .members = {24, 24, 24}}});  // odd parts of members
  list.push_back({9, 64 + 16 + 16, 128, {.leaves = 2}, {.leaves = 4, .members = {64, 16, 16}}});
  list.push_back({33, 130, 900, {.leaves = 2}, {}});  // several blocks of terms
  list.push_back({200, 65, 17, {}, {}});              // several blocks of rows
  list.push_back({13, 20, 1704, {.leaves = 4}, {}});  // several chunks of terms, also where a word is two
  list.push_back({9, 1712, 24, {}, {.leaves = 8, .members = {800, 456, 456}}});
  list.push_back({1550, 3, 1700, {}, {}});  // and several groups of rows
  return list;
}

class Products : public testing::TestWithParam<std::tuple<cpu::Isa, DType>> {
 protected:
  void SetUp() override { set_floating_point_mode(); }
  [[nodiscard]] cpu::Isa isa() const { return std::get<0>(GetParam()); }
  [[nodiscard]] DType dtype() const { return std::get<1>(GetParam()); }
  [[nodiscard]] bool pairs() const { return dtype() == DType::bf16; }
};

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

TEST_P(Products, ForwardIsTheChainWrittenOut) {
  for (const Case& c : cases()) {
    RandomTensor x(dtype(), c.tokens, c.inputs, 1, 1, 5);
    RandomTensor w(dtype(), c.outputs, c.inputs, 2, 1, 3);
    for (const int threads : {1, 2, 3, 4}) {
      RandomTensor y(DType::f32, c.tokens, c.outputs, 3, 1, 7);
      ThreadPool pool(threads);
      cpu::make_matmul(pool, isa())
          ->forward({.x = x.tensor(), .w = w.tensor(), .y = y.tensor(), .order = c.forward});
      for (std::int64_t m = 0; m < c.tokens; ++m) {
        for (std::int64_t n = 0; n < c.outputs; ++n) {
          const float expected = reference::exact_element(
              c.forward, c.inputs, pairs(), [&](std::int64_t k) { return x.at(m, k); },
              [&](std::int64_t k) { return w.at(n, k); });
          ASSERT_EQ(bits(y.at(m, n)), bits(expected))
              << m << "," << n << " of " << c.tokens << "x" << c.outputs;
        }
      }
      y.expect_guards_untouched();
    }
  }
}

TEST_P(Products, PackedWeightsGiveTheSameBitsAndTheirRowsBack) {
  for (const Case& c : cases()) {
    RandomTensor x(dtype(), c.tokens, c.inputs, 1, 1, 5);
    RandomTensor w(dtype(), c.outputs, c.inputs, 2, 1, 3);
    RandomTensor y(DType::f32, c.tokens, c.outputs, 3);
    RandomTensor packed_y(DType::f32, c.tokens, c.outputs, 4, 1, 7);
    ThreadPool pool(2);
    const std::unique_ptr<MatmulOps> ops = cpu::make_matmul(pool, isa());
    const std::size_t bytes = ops->packed_bytes(w.tensor(), c.forward, WeightFormat::as_stored);
    Arena arena("packed", bytes + 64);
    void* packed = arena.allocate_bytes(bytes);
    ops->pack({.w = w.tensor(), .order = c.forward, .packed = packed});
    ops->forward({.x = x.tensor(), .w = w.tensor(), .y = y.tensor(), .order = c.forward});
    // The weight itself is no longer read.
    const Tensor shape_alone(nullptr, dtype(), {c.outputs, c.inputs});
    ops->forward(
        {.x = x.tensor(), .w = shape_alone, .y = packed_y.tensor(), .order = c.forward, .packed = packed});
    for (std::int64_t m = 0; m < c.tokens; ++m) {
      for (std::int64_t n = 0; n < c.outputs; ++n) ASSERT_EQ(bits(packed_y.at(m, n)), bits(y.at(m, n)));
    }
    packed_y.expect_guards_untouched();
    const std::vector<std::int32_t> rows = {static_cast<std::int32_t>(c.outputs - 1), 0,
                                            static_cast<std::int32_t>(c.outputs / 2)};
    RandomTensor back(dtype(), 3, c.inputs, 5);
    ops->unpack(
        {.w = shape_alone, .order = c.forward, .packed = packed, .rows = rows.data(), .to = back.tensor()});
    for (std::int64_t r = 0; r < 3; ++r) {
      for (std::int64_t k = 0; k < c.inputs; ++k)
        ASSERT_EQ(back.at(r, k), w.at(rows[static_cast<std::size_t>(r)], k));
    }
  }
}

// A matrix's rows, read one call after another as from a file; counts who is read and given up.
class CountedRows final : public WeightRowSource {
 public:
  explicit CountedRows(const Tensor& w)
      : w_(w), reads_(static_cast<std::size_t>(w.rows())), dones_(reads_.size()) {}
  void read(std::int64_t first, const Tensor& to) const override {
    for (std::int64_t r = 0; r < to.rows(); ++r) {
      const auto* from = static_cast<const std::byte*>(w_.row_slice(first + r, 1).data);
      std::memcpy(to.row_slice(r, 1).data, from, static_cast<std::size_t>(to.columns()) * size_of(to.dtype));
      ++reads_[static_cast<std::size_t>(first + r)];
    }
  }
  void done(std::int64_t first, std::int64_t count) const override {
    for (std::int64_t r = first; r < first + count; ++r) ++dones_[static_cast<std::size_t>(r)];
  }
  void expect_each_row_once() const {
    for (std::size_t r = 0; r < reads_.size(); ++r) {
      ASSERT_EQ(reads_[r], 1) << r;
      ASSERT_EQ(dones_[r], 1) << r;
    }
  }

 private:
  Tensor w_;
  mutable std::vector<std::atomic<int>> reads_, dones_;
};

TEST_P(Products, WeightsPackedFromASourceOfRowsAreThosePackedFromMemory) {
  for (const Case& c : cases()) {
    RandomTensor w(dtype(), c.outputs, c.inputs, 2, 1, 3);
    const Tensor shape_alone(nullptr, dtype(), {c.outputs, c.inputs});
    for (const WeightFormat format : {WeightFormat::as_stored, WeightFormat::q8_0}) {
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        const std::unique_ptr<MatmulOps> ops = cpu::make_matmul(pool, isa());
        const std::size_t bytes = ops->packed_bytes(w.tensor(), c.forward, format);
        std::vector<std::vector<std::byte>> packed(2, std::vector<std::byte>(bytes, std::byte{0xaa}));
        const CountedRows rows(w.tensor());
        ops->pack({.w = w.tensor(), .order = c.forward, .format = format, .packed = packed[0].data()});
        ops->pack({.w = shape_alone,
                   .order = c.forward,
                   .format = format,
                   .packed = packed[1].data(),
                   .rows = &rows});
        ASSERT_EQ(packed[0], packed[1]) << c.outputs << "x" << c.inputs;
        rows.expect_each_row_once();
      }
    }
  }
}

TEST_P(Products, InputGradientIsTheChainWrittenOut) {
  for (const Case& c : cases()) {
    RandomTensor dy(dtype(), c.tokens, c.outputs, 4, 1, 2);
    RandomTensor w(dtype(), c.outputs, c.inputs, 5);
    RandomTensor dx(DType::f32, c.tokens, c.inputs, 6, 1, 1);
    ThreadPool pool(2);
    cpu::make_matmul(pool, isa())
        ->input_gradient({.dy = dy.tensor(), .w = w.tensor(), .dx = dx.tensor(), .order = c.backward});
    for (std::int64_t m = 0; m < c.tokens; ++m) {
      for (std::int64_t k = 0; k < c.inputs; ++k) {
        const float expected = reference::exact_element(
            c.backward, c.outputs, pairs(), [&](std::int64_t n) { return dy.at(m, n); },
            [&](std::int64_t n) { return w.at(n, k); });
        ASSERT_EQ(bits(dx.at(m, k)), bits(expected)) << m << "," << k;
      }
    }
    dx.expect_guards_untouched();
  }
}

TEST_P(Products, AreCloseToFloat64) {
  RandomTensor x(dtype(), 70, 300, 7);
  RandomTensor w(dtype(), 90, 300, 8);
  RandomTensor y(DType::f32, 70, 90, 9);
  ThreadPool pool(2);
  cpu::make_matmul(pool, isa())->forward({.x = x.tensor(), .w = w.tensor(), .y = y.tensor(), .order = {}});
  for (std::int64_t m = 0; m < 70; ++m) {
    for (std::int64_t n = 0; n < 90; ++n) {
      double magnitude = 0;
      const double expected = reference::double_element(
          300, [&](std::int64_t k) { return x.at(m, k); }, [&](std::int64_t k) { return w.at(n, k); },
          &magnitude);
      // K roundings of a running sum no larger than the sum of magnitudes.
      ASSERT_NEAR(y.at(m, n), expected, 300 * 0x1p-24 * magnitude);
    }
  }
}

TEST_P(Products, BiasIsAddedBeforeTheOneRounding) {
  RandomTensor x(dtype(), 7, 30, 10);
  RandomTensor w(dtype(), 21, 30, 11);
  RandomTensor bias(DType::f32, 1, 21, 12);
  RandomTensor y(dtype(), 7, 21, 13);
  ThreadPool pool(1);
  const Tensor bias_vector(bias.tensor().data, DType::f32, {21});
  cpu::make_matmul(pool, isa())
      ->forward({.x = x.tensor(), .w = w.tensor(), .bias = bias_vector, .y = y.tensor(), .order = {}});
  for (std::int64_t m = 0; m < 7; ++m) {
    for (std::int64_t n = 0; n < 21; ++n) {
      const float sum = reference::exact_element(
          {}, 30, pairs(), [&](std::int64_t k) { return x.at(m, k); },
          [&](std::int64_t k) { return w.at(n, k); });
      const float expected = sum + bias.at(0, n);
      ASSERT_EQ(y.at(m, n), pairs() ? to_float(to_bf16(expected)) : expected);
    }
  }
}

TEST_P(Products, WeightGradientRoundsEachGrainOnceAndAddsIntegers) {
  constexpr std::int64_t kTokens = 96;
  constexpr int kShift = 34;
  for (const std::int64_t grain : {4, 32, 96}) {
    RandomTensor dy(dtype(), kTokens, 37, 14, 1e-3, 4);
    RandomTensor x(dtype(), kTokens, 70, 15, 1, 2);
    std::vector<std::int64_t> whole(37 * 70, 5);
    std::vector<std::int64_t> halves(37 * 70, 5);
    ThreadPool pool(3);
    const std::unique_ptr<MatmulOps> ops = cpu::make_matmul(pool, isa());
    Verdict verdict;
    const Tensor dw(whole.data(), DType::i64, {37, 70});
    ops->weight_gradient(
        {.dy = dy.tensor(), .x = x.tensor(), .dw = dw, .grain = grain, .shift = kShift, .verdict = &verdict});
    EXPECT_FALSE(verdict.bad());
    for (std::int64_t n = 0; n < 37; ++n) {
      for (std::int64_t k = 0; k < 70; ++k) {
        const std::int64_t expected = reference::exact_gradient(
            kTokens, grain, kShift, pairs(), [&](std::int64_t t) { return dy.at(t, n); },
            [&](std::int64_t t) { return x.at(t, k); });
        ASSERT_EQ(whole[static_cast<std::size_t>(n * 70 + k)], expected + 5);
      }
    }
    if (grain == 96) continue;
    for (const std::int64_t begin : {64, 0}) {  // the later part first: integers do not mind
      const std::int64_t count = begin == 0 ? 64 : 32;
      ops->weight_gradient({.dy = dy.tensor().row_slice(begin, count),
                            .x = x.tensor().row_slice(begin, count),
                            .dw = Tensor(halves.data(), DType::i64, {37, 70}),
                            .grain = grain,
                            .shift = kShift,
                            .verdict = &verdict});
    }
    EXPECT_EQ(halves, whole);
  }
}

// Chains longer than a block of tokens, and more rows than a panel has.
TEST_P(Products, WeightGradientOfLongGrainsIsTheSameChain) {
  constexpr std::int64_t kTokens = 2600, kOutputs = 50, kInputs = 70;
  constexpr int kShift = 34;
  RandomTensor dy(dtype(), kTokens, kOutputs, 24, 1e-3, 4);
  RandomTensor x(dtype(), kTokens, kInputs, 25, 1, 2);
  for (const std::int64_t grain : {2600, 1300, 650}) {
    std::vector<std::int64_t> sums(kOutputs * kInputs, 5);
    ThreadPool pool(2);
    Verdict verdict;
    cpu::make_matmul(pool, isa())
        ->weight_gradient({.dy = dy.tensor(),
                           .x = x.tensor(),
                           .dw = Tensor(sums.data(), DType::i64, {kOutputs, kInputs}),
                           .grain = grain,
                           .shift = kShift,
                           .verdict = &verdict});
    EXPECT_FALSE(verdict.bad());
    for (std::int64_t n = 0; n < kOutputs; n += 7) {
      for (std::int64_t k = 0; k < kInputs; ++k) {
        const std::int64_t expected = reference::exact_gradient(
            kTokens, grain, kShift, pairs(), [&](std::int64_t t) { return dy.at(t, n); },
            [&](std::int64_t t) { return x.at(t, k); });
        ASSERT_EQ(sums[static_cast<std::size_t>(n * kInputs + k)], expected + 5) << grain;
      }
    }
  }
}

// Whole panels and a part of one, blocks of all lengths, strips of all widths, odd numbers of rows, and a
// gradient that is columns of a wider one: whatever is asked for ahead, no more is written than is meant.
TEST_P(Products, WeightGradientsOfManyPanelsStayInTheirColumns) {
  struct Shape {
    std::int64_t tokens, outputs, inputs, grain;
  };
  constexpr int kShift = 34;
  constexpr std::int64_t kBefore = 3, kBehind = 5;
  for (const Shape& shape : {Shape{1200, 150, 130, 1200},
                             {1200, 150, 130, 600},
                             {520, 101, 67, 130},
                             {195, 97, 65, 65},
                             {195, 97, 64, 195}}) {
    if (pairs() && shape.grain % 2 != 0) continue;
    const auto [tokens, outputs, inputs, grain] = shape;
    RandomTensor dy(dtype(), tokens, outputs, 26, 1e-3, 4);
    RandomTensor x(dtype(), tokens, inputs, 27, 1, 2);
    const std::int64_t stride = kBefore + inputs + kBehind;
    std::vector<std::int64_t> sums(static_cast<std::size_t>(outputs * stride), 5);
    ThreadPool pool(3);
    Verdict verdict;
    cpu::make_matmul(pool, isa())
        ->weight_gradient(
            {.dy = dy.tensor(),
             .x = x.tensor(),
             .dw = Tensor(sums.data(), DType::i64, {outputs, stride}).column_slice(kBefore, inputs),
             .grain = grain,
             .shift = kShift,
             .verdict = &verdict});
    EXPECT_FALSE(verdict.bad());
    for (std::int64_t n = 0; n < outputs; ++n) {
      for (std::int64_t c = 0; c < stride; ++c) {
        const std::int64_t k = c - kBefore;
        const bool inside = k >= 0 && k < inputs;
        if (inside && n % 6 != 0 && n + 1 != outputs) continue;  // the written-out sum takes its time
        const std::int64_t added =
            inside ? reference::exact_gradient(
                         tokens, grain, kShift, pairs(), [&](std::int64_t t) { return dy.at(t, n); },
                         [&](std::int64_t t) { return x.at(t, k); })
                   : 0;
        ASSERT_EQ(sums[static_cast<std::size_t>(n * stride + c)], added + 5) << n << "," << k << " " << grain;
      }
    }
  }
}

TEST_P(Products, AContributionOutOfRangeOrNotFiniteIsDeclaredBad) {
  constexpr float kLimit = 8 * 65536.0f;
  struct Probe {
    float value;
    bool bad;
  };
  for (const Probe probe : {Probe{kLimit, true}, Probe{-kLimit, true}, Probe{kLimit / 2, false},
                            Probe{INFINITY, true}, Probe{NAN, true}}) {
    RandomTensor dy(dtype(), 16, 10, 16, 0);
    RandomTensor x(dtype(), 16, 20, 17, 0);
    dy.set(11, 9, probe.value);
    x.set(11, 19, 1.0f);
    std::vector<std::int64_t> sums(200, 0);
    ThreadPool pool(2);
    Verdict verdict;
    cpu::make_matmul(pool, isa())
        ->weight_gradient({.dy = dy.tensor(),
                           .x = x.tensor(),
                           .dw = Tensor(sums.data(), DType::i64, {10, 20}),
                           .grain = 8,
                           .shift = 20,
                           .verdict = &verdict});
    EXPECT_EQ(verdict.bad(), probe.bad) << probe.value;
  }
}

TEST_P(Products, BiasGradientAddsBlocksOf32Rows) {
  struct Shape {
    std::int64_t rows, columns;
  };
  for (const Shape& shape :
       {Shape{75, 70}, {1, 1}, {5, 200}, {31, 15}, {32, 128}, {64, 129}, {97, 300}, {160, 64}}) {
    RandomTensor dy(dtype(), shape.rows, shape.columns, 18, 1e-2, 3);
    std::vector<std::int64_t> sums(static_cast<std::size_t>(shape.columns + 64), 7);
    ThreadPool pool(2);
    Verdict verdict;
    cpu::make_matmul(pool, isa())
        ->bias_gradient({.dy = dy.tensor(),
                         .db = Tensor(sums.data(), DType::i64, {shape.columns}),
                         .shift = 30,
                         .verdict = &verdict});
    for (std::int64_t n = 0; n < static_cast<std::int64_t>(sums.size()); ++n) {
      std::int64_t expected = 7;
      for (std::int64_t block = 0; n < shape.columns && block < shape.rows; block += 32) {
        float sum = 0;
        for (std::int64_t r = block; r < std::min(block + 32, shape.rows); ++r) sum += dy.at(r, n);
        expected += to_fixed_point(sum, 30);
      }
      ASSERT_EQ(sums[static_cast<std::size_t>(n)], expected)
          << n << " of " << shape.rows << "x" << shape.columns;
    }
    EXPECT_FALSE(verdict.bad());
  }
}

// The limit is by token, and the last block has fewer.
TEST_P(Products, ABiasGradientOutOfRangeOrNotFiniteIsDeclaredBad) {
  constexpr float kLimitOfEight = 8 * 65536.0f;
  struct Probe {
    std::int64_t row;
    float value;
    bool bad;
  };
  for (const std::int64_t column : {0, 63, 64, 130, 136}) {
    for (const Probe probe : {Probe{39, kLimitOfEight, true},
                              {32, -kLimitOfEight, true},
                              {39, kLimitOfEight / 2, false},
                              {31, kLimitOfEight, false},
                              {31, 4 * kLimitOfEight, true},
                              {0, INFINITY, true},
                              {39, NAN, true}}) {
      RandomTensor dy(dtype(), 40, 137, 28, 0);
      dy.set(probe.row, column, probe.value);
      std::vector<std::int64_t> sums(137, 0);
      ThreadPool pool(2);
      Verdict verdict;
      cpu::make_matmul(pool, isa())
          ->bias_gradient({.dy = dy.tensor(),
                           .db = Tensor(sums.data(), DType::i64, {137}),
                           .shift = 20,
                           .verdict = &verdict});
      EXPECT_EQ(verdict.bad(), probe.bad) << probe.value << " in row " << probe.row << ", column " << column;
    }
  }
}

TEST_P(Products, NearUnderflowTheFamiliesStillAgreeWithTheChain) {
  RandomTensor x(dtype(), 12, 64, 19, 1e-19);
  RandomTensor w(dtype(), 40, 64, 20, 1e-19);
  RandomTensor y(DType::f32, 12, 40, 21);
  ThreadPool pool(1);
  cpu::make_matmul(pool, isa())
      ->forward({.x = x.tensor(), .w = w.tensor(), .y = y.tensor(), .order = {.leaves = 8}});
  for (std::int64_t m = 0; m < 12; ++m) {
    for (std::int64_t n = 0; n < 40; ++n) {
      const float expected = reference::exact_element(
          {.leaves = 8}, 64, pairs(), [&](std::int64_t k) { return x.at(m, k); },
          [&](std::int64_t k) { return w.at(n, k); });
      ASSERT_EQ(bits(y.at(m, n)), bits(expected));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Products,
                         testing::Combine(testing::ValuesIn(cpu::available_isas()),
                                          testing::Values(DType::f32, DType::bf16)),
                         [](const auto& names) {
                           return std::string(cpu::name_of(std::get<0>(names.param))) + "_" +
                                  name_of(std::get<1>(names.param));
                         });

TEST(LinesAhead, AreEveryLineOfEveryRowAndNoneWhereThereIsNothing) {
  static const char memory[16 * 1000] = {};
  const float read_anyway = 0;
  const auto addresses = [&](const cpu::LinesAhead& ahead) {
    std::vector<const char*> found;
    cpu::for_words(500, ahead, &read_anyway, [&](std::int64_t word, const char* line) {
      ASSERT_EQ(word, std::ssize(found));
      found.push_back(line);
    });
    EXPECT_EQ(found.size(), 500u);
    return found;
  };
  const auto rows = addresses({.first = memory, .word_bytes = 16, .row_words = 32, .row_bytes = 1000});
  const auto one_row = addresses({.first = memory});
  const auto nothing = addresses({});
  for (std::size_t word = 0; word < 500; ++word) {
    ASSERT_EQ(rows[word] - memory, word / 32 * 1000 + word % 32 * 16) << word;
    ASSERT_EQ(one_row[word] - memory, 64 * word);
    ASSERT_EQ(nothing[word], reinterpret_cast<const char*>(&read_anyway));
  }
}

// The twins above would be no test if the wrong order gave the same bits.
TEST(PlantedBugs, ChangeBitsOfProducts) {
  set_floating_point_mode();
  RandomTensor a(DType::bf16, 1, 256, 22);
  RandomTensor b(DType::bf16, 1, 256, 23);
  const auto element = [&](PlantedBug bug) {
    int different = 0;
    for (int shifted = 0; shifted < 32; ++shifted) {
      const auto x = [&](std::int64_t i) { return a.at(0, (i + shifted) % 256); };
      const auto y = [&](std::int64_t i) { return b.at(0, i); };
      const SumOrder order{.leaves = 8};
      different += reference::exact_element(order, 256, true, x, y, bug) !=
                   reference::exact_element(order, 256, true, x, y);
    }
    return different;
  };
  EXPECT_GT(element(PlantedBug::low_element_first), 0);
  EXPECT_GT(element(PlantedBug::block_sum_added), 0);
  EXPECT_GT(element(PlantedBug::leaf_pair_swapped), 0);
  int different = 0;
  for (int shifted = 0; shifted < 32; ++shifted) {
    const auto x = [&](std::int64_t i) { return a.at(0, (i + shifted) % 256); };
    const auto y = [&](std::int64_t i) { return b.at(0, i); };
    different += reference::exact_gradient(256, 32, 34, true, x, y, PlantedBug::grains_in_float) !=
                 reference::exact_gradient(256, 32, 34, true, x, y);
  }
  EXPECT_GT(different, 0);
}

}  // namespace
}  // namespace megalith
