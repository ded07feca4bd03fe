// Products with int8 weights: the definition of device/matmul.h written out, close to the product that was
// not rounded, and one set of bits.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/arena.h"
#include "core/floating_point_mode.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/matmul/cpu_matmul.h"
#include "device/random_tensor.h"

namespace megalith {
namespace {

using test::RandomTensor;

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

// What a kernel could get wrong, for a test that shows that the checks would see it.
enum class PlantedBug {
  none,
  scale_of_next_block,   // of the weight
  scale_not_rounded,     // to bf16
  rounded_towards_zero,  // terms, not to the nearest integer
  saturating_pairs,      // of products of row + 128 and weight, kept in 16 bits
  blocks_descending,     // links of a leaf's chain
  blocks_across_leaves,  // blocks of 32 of the whole dimension, the leaves' chains one
  leaf_pair_swapped,     // leaves 1 and 2 change places in the tree
};

struct Block {
  std::vector<int> q = std::vector<int>(32);
  float scale = 0;
};

// Blocks of 32 of each leaf, the last padded with zeros. value(k) is a term of the dimension.
template <class Value>
std::vector<std::vector<Block>> blocks_of(SumOrder order, std::int64_t dimension, Value value,
                                          PlantedBug bug = PlantedBug::none) {
  if (bug == PlantedBug::blocks_across_leaves) order = {};
  std::vector<std::vector<Block>> leaves;
  const auto members = order.members[0] == 0 ? std::array<std::int64_t, 3>{dimension, 0, 0} : order.members;
  for (std::int64_t leaf = 0; leaf < order.leaves; ++leaf) {
    std::vector<float> terms;
    std::int64_t begin = 0;
    for (const std::int64_t member : members) {
      const std::int64_t part = member / order.leaves;
      for (std::int64_t i = 0; i < part; ++i) terms.push_back(value(begin + leaf * part + i));
      begin += member;
    }
    terms.resize((terms.size() + 31) / 32 * 32);
    leaves.emplace_back();
    for (std::size_t first = 0; first < terms.size(); first += 32) {
      float most = 0;
      for (std::size_t i = 0; i < 32; ++i) most = std::max(most, std::fabs(terms[first + i]));
      Block block;
      if (most >= 127 * std::numeric_limits<float>::min()) {
        block.scale = to_float(to_bf16(most / 127));
        if (bug == PlantedBug::scale_not_rounded) block.scale = most / 127;
        for (std::size_t i = 0; i < 32; ++i) {
          const float term = terms[first + i] / block.scale;
          block.q[i] = static_cast<int>(bug == PlantedBug::rounded_towards_zero ? std::trunc(term)
                                                                                : std::nearbyint(term));
        }
      }
      leaves.back().push_back(block);
    }
  }
  return leaves;
}

// As instructions for pairs of bytes do it, whose sums of two products have 16 bits.
int saturating_products(const Block& x, const Block& w) {
  int sum = 0;
  for (std::size_t i = 0; i < 32; i += 2) {
    const int pair = (x.q[i] + 128) * w.q[i] + (x.q[i + 1] + 128) * w.q[i + 1];
    sum += std::clamp(pair, -32768, 32767) - 128 * (w.q[i] + w.q[i + 1]);
  }
  return sum;
}

float leaf_of(const std::vector<Block>& x, const std::vector<Block>& w, PlantedBug bug) {
  float sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t b = bug == PlantedBug::blocks_descending ? x.size() - 1 - i : i;
    const Block& scaled = w[bug == PlantedBug::scale_of_next_block ? (b + 1) % w.size() : b];
    const int products = bug == PlantedBug::saturating_pairs
                             ? saturating_products(x[b], w[b])
                             : std::inner_product(x[b].q.begin(), x[b].q.end(), w[b].q.begin(), 0);
    sum = std::fma(static_cast<float>(products), x[b].scale * scaled.scale, sum);
  }
  return sum;
}

float element(const std::vector<std::vector<Block>>& x, const std::vector<std::vector<Block>>& w,
              PlantedBug bug = PlantedBug::none) {
  std::vector<float> sums;
  for (std::size_t leaf = 0; leaf < x.size(); ++leaf) sums.push_back(leaf_of(x[leaf], w[leaf], bug));
  if (bug == PlantedBug::leaf_pair_swapped && sums.size() > 2) std::swap(sums[1], sums[2]);
  while (sums.size() > 1) {
    for (std::size_t i = 0; i < sums.size() / 2; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
    sums.resize(sums.size() / 2);
  }
  return sums[0];
}

struct Case {
  std::int64_t tokens, outputs, inputs;
  SumOrder order;
};

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const std::int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 13, 64}) list.push_back({tokens, 67, 96, {}});
  list.push_back({5, 24, 40, {.leaves = 8}});  // leaves shorter than a block
  list.push_back({5, 130, 33, {}});            // one term in the last block
  list.push_back({1, 64, 31, {}});
  list.push_back({9, 48, 768, {.leaves = 8}});
  list.push_back({3, 16, 128, {.leaves = 4, .members = {64, 32, 32}}});
  list.push_back({70, 1, 72, {.leaves = 2, .members = {48, 24, 0}}});
  list.push_back({200, 20, 32, {}});  // groups of rows
  return list;
}

// A packed weight, and products with it.
class Packed {
 public:
  Packed(MatmulOps& ops, const Tensor& w, const SumOrder& order)
      : ops_(ops),
        shape_(nullptr, w.dtype, {w.rows(), w.columns()}),
        order_(order),
        arena_("packed", ops.packed_bytes(w, order, WeightFormat::q8_0) + 64),
        packed_(arena_.allocate_bytes(ops.packed_bytes(w, order, WeightFormat::q8_0))) {
    ops.pack({.w = w, .order = order, .format = WeightFormat::q8_0, .packed = packed_});
  }
  void multiply(const Tensor& x, const Tensor& y, const Tensor& bias = {}) {
    ops_.forward({.x = x,
                  .w = shape_,
                  .bias = bias,
                  .y = y,
                  .order = order_,
                  .packed = packed_,
                  .packed_as = WeightFormat::q8_0});
  }
  void rows(const std::vector<std::int32_t>& ids, const Tensor& to) {
    ops_.unpack({.w = shape_,
                 .order = order_,
                 .format = WeightFormat::q8_0,
                 .packed = packed_,
                 .rows = ids.data(),
                 .to = to});
  }

 private:
  MatmulOps& ops_;
  Tensor shape_;
  SumOrder order_;
  Arena arena_;
  void* packed_;
};

class Int8Products : public testing::TestWithParam<std::tuple<cpu::Isa, DType>> {
 protected:
  void SetUp() override { set_floating_point_mode(); }
  [[nodiscard]] cpu::Isa isa() const { return std::get<0>(GetParam()); }
  [[nodiscard]] DType dtype() const { return std::get<1>(GetParam()); }
};

// Operands of a case, and the elements of their product that are not the definition's bits.
struct Operands {
  Operands(const Case& c, DType dtype)
      : of(c), x(dtype, c.tokens, c.inputs, 1, 1, 5), w(dtype, c.outputs, c.inputs, 2, 0.02, 3) {}
  [[nodiscard]] std::vector<std::string> unlike_definition(const RandomTensor& y,
                                                           PlantedBug bug = PlantedBug::none) const {
    std::vector<std::string> unlike;
    for (std::int64_t n = 0; n < of.outputs; ++n) {
      const auto right = blocks_of(
          of.order, of.inputs, [&](std::int64_t k) { return w.at(n, k); }, bug);
      for (std::int64_t m = 0; m < of.tokens; ++m) {
        const auto left = blocks_of(
            of.order, of.inputs, [&](std::int64_t k) { return x.at(m, k); }, bug);
        if (bits(y.at(m, n)) != bits(element(left, right, bug) + bias.at(0, n)))
          unlike.push_back(fmt::format("{},{} of {}x{}x{}", m, n, of.tokens, of.outputs, of.inputs));
      }
    }
    return unlike;
  }
  RandomTensor product(int threads, cpu::Isa isa) {
    RandomTensor y(DType::f32, of.tokens, of.outputs, 4, 1, 7);
    ThreadPool pool(threads);
    const std::unique_ptr<MatmulOps> ops = cpu::make_matmul(pool, isa);
    Packed(*ops, w.tensor(), of.order)
        .multiply(x.tensor(), y.tensor(), Tensor(bias.tensor().data, DType::f32, {of.outputs}));
    y.expect_guards_untouched();
    return y;
  }
  Case of;
  RandomTensor x, w;
  RandomTensor bias{DType::f32, 1, of.outputs, 3};
};

TEST_P(Int8Products, AreTheDefinitionWrittenOutForAnyNumberOfThreads) {
  for (const Case& c : cases()) {
    Operands operands(c, dtype());
    for (const int threads : {1, 2, 3, 4})
      ASSERT_EQ(operands.unlike_definition(operands.product(threads, isa())), std::vector<std::string>{});
  }
}

// The definition with a mistake in it, against the product: the test above sees every one of them.
TEST_P(Int8Products, WithAPlantedBugAreNotTheDefinition) {
  std::vector<Operands> operands;
  std::vector<RandomTensor> products;
  for (const Case& c : cases()) {
    operands.emplace_back(c, dtype());
    products.push_back(operands.back().product(2, isa()));
  }
  for (const PlantedBug bug :
       {PlantedBug::scale_of_next_block, PlantedBug::scale_not_rounded, PlantedBug::rounded_towards_zero,
        PlantedBug::saturating_pairs, PlantedBug::blocks_descending, PlantedBug::blocks_across_leaves,
        PlantedBug::leaf_pair_swapped}) {
    std::size_t unlike = 0;
    for (std::size_t i = 0; i < operands.size(); ++i)
      unlike += operands[i].unlike_definition(products[i], bug).size();
    EXPECT_GT(unlike, 0U) << static_cast<int>(bug);
  }
}

TEST_P(Int8Products, OfARowAreThoseOfTheRowAlone) {
  constexpr std::int64_t kOutputs = 150;
  RandomTensor w(dtype(), kOutputs, 200, 5);
  RandomTensor x(dtype(), 64, 200, 6);
  ThreadPool pool(2);
  const std::unique_ptr<MatmulOps> ops = cpu::make_matmul(pool, isa());
  Packed packed(*ops, w.tensor(), {.leaves = 4});
  RandomTensor alone(dtype(), 64, kOutputs, 7);
  for (std::int64_t m = 0; m < 64; ++m)
    packed.multiply(x.tensor().row_slice(m, 1), alone.tensor().row_slice(m, 1));
  for (std::int64_t rows = 1; rows <= 64; ++rows) {
    RandomTensor y(dtype(), rows, kOutputs, 8);
    packed.multiply(x.tensor().row_slice(0, rows), y.tensor());
    for (std::int64_t m = 0; m < rows; ++m) {
      for (std::int64_t n = 0; n < kOutputs; ++n) ASSERT_EQ(bits(y.at(m, n)), bits(alone.at(m, n)));
    }
  }
}

// Elements further from float64 than roundings take them. Each rounding is at most half a scale, a scale at
// most 1/127 of its block's greatest times 1 + 2^-8; the sum of K terms rounds K/32 times.
struct Closeness {
  int too_far = 0;
  double greatest_error = 0;
};
template <class Result>
Closeness closeness(const RandomTensor& x, const RandomTensor& w, std::int64_t tokens, std::int64_t outputs,
                    std::int64_t inputs, Result result) {
  Closeness found;
  for (std::int64_t m = 0; m < tokens; ++m) {
    for (std::int64_t n = 0; n < outputs; ++n) {
      double exact = 0;
      double bound = 0;
      for (std::int64_t first = 0; first < inputs; first += 32) {
        double most_x = 0;
        double most_w = 0;
        for (std::int64_t k = first; k < first + 32; ++k) {
          most_x = std::max(most_x, std::fabs(double{x.at(m, k)}));
          most_w = std::max(most_w, std::fabs(double{w.at(n, k)}));
        }
        const double half_x = most_x / 254 * (1 + 0x1p-8);
        const double half_w = most_w / 254 * (1 + 0x1p-8);
        for (std::int64_t k = first; k < first + 32; ++k) {
          const double a = x.at(m, k);
          const double b = w.at(n, k);
          exact += a * b;
          bound += (std::fabs(a) + half_x) * half_w + std::fabs(b) * half_x + 11 * 0x1p-24 * std::fabs(a * b);
        }
      }
      const double error = std::fabs(double{result(m, n)} - exact);
      if (!(error <= bound)) ++found.too_far;
      found.greatest_error = std::max(found.greatest_error, error);
    }
  }
  return found;
}

TEST_P(Int8Products, AreCloseToFloat64AndPlantedBugsAreNot) {
  constexpr std::int64_t kInputs = 320;
  RandomTensor x(dtype(), 20, kInputs, 9);
  RandomTensor w(dtype(), 40, kInputs, 10);
  RandomTensor y(DType::f32, 20, 40, 11);
  ThreadPool pool(2);
  const std::unique_ptr<MatmulOps> ops = cpu::make_matmul(pool, isa());
  Packed(*ops, w.tensor(), {}).multiply(x.tensor(), y.tensor());
  const Closeness product =
      closeness(x, w, 20, 40, kInputs, [&](std::int64_t m, std::int64_t n) { return y.at(m, n); });
  EXPECT_EQ(product.too_far, 0);
  EXPECT_GT(product.greatest_error, 1e-3) << "nothing was rounded";
  for (const PlantedBug bug : {PlantedBug::scale_of_next_block, PlantedBug::saturating_pairs}) {
    const Closeness planted = closeness(x, w, 20, 40, kInputs, [&](std::int64_t m, std::int64_t n) {
      return element(blocks_of({}, kInputs, [&](std::int64_t k) { return x.at(m, k); }),
                     blocks_of({}, kInputs, [&](std::int64_t k) { return w.at(n, k); }), bug);
    });
    EXPECT_GT(planted.too_far, 0) << static_cast<int>(bug);
  }
}

TEST_P(Int8Products, TheirWeightsComeBackAsIntegersTimesScales) {
  for (const Case& c : cases()) {
    RandomTensor w(dtype(), c.outputs, c.inputs, 12, 1, 3);
    ThreadPool pool(2);
    const std::unique_ptr<MatmulOps> ops = cpu::make_matmul(pool, isa());
    const std::vector<std::int32_t> ids = {static_cast<std::int32_t>(c.outputs - 1), 0};
    RandomTensor back(dtype(), 2, c.inputs, 13);
    Packed(*ops, w.tensor(), c.order).rows(ids, back.tensor());
    for (std::int64_t r = 0; r < 2; ++r) {
      for (std::int64_t k = 0; k < c.inputs; ++k) {
        float most = 0;
        for (std::int64_t i = 0; i < c.inputs; ++i)
          most = std::max(most, std::fabs(w.at(ids[static_cast<std::size_t>(r)], i)));
        // Half a scale, and the rounding of the result to bf16.
        ASSERT_NEAR(back.at(r, k), w.at(ids[static_cast<std::size_t>(r)], k),
                    most / 254 * 1.004 + most / 256);
      }
    }
    back.expect_guards_untouched();
  }
}

TEST_P(Int8Products, HaveMeaningAtTheEndsOfTheRange) {
  constexpr std::int64_t kInputs = 96;
  RandomTensor x(dtype(), 7, kInputs, 14);
  RandomTensor w(dtype(), 6, kInputs, 15);
  const float infinity = std::numeric_limits<float>::infinity();
  for (std::int64_t k = 0; k < kInputs; ++k) {
    w.set(0, k, 0);                                        // nothing
    w.set(1, k, k % 2 == 0 ? 0x1.fcp127f : -0x1.fcp127f);  // the greatest
    w.set(2, k, 0x1p-126f);                                // too small to have a scale
    x.set(1, k, 0);
    x.set(2, k, k < 32 ? 0x1p-100f : 0);  // not too small
    x.set(3, k, k == 40 ? 0x1p20f : 1);   // dwarfed by one
  }
  w.set(3, 50, infinity);
  w.set(4, 0, NAN);
  x.set(4, 95, -infinity);
  RandomTensor y(DType::f32, 7, 6, 16);
  ThreadPool pool(2);
  const std::unique_ptr<MatmulOps> ops = cpu::make_matmul(pool, isa());
  Packed(*ops, w.tensor(), {}).multiply(x.tensor(), y.tensor());
  for (std::int64_t m = 0; m < 7; ++m) {
    for (std::int64_t n = 0; n < 6; ++n) {
      if (m == 4 || n == 3 || n == 4) {
        EXPECT_TRUE(std::isnan(y.at(m, n))) << m << "," << n;
        continue;
      }
      const auto left = blocks_of({}, kInputs, [&](std::int64_t k) { return x.at(m, k); });
      const auto right = blocks_of({}, kInputs, [&](std::int64_t k) { return w.at(n, k); });
      EXPECT_EQ(bits(y.at(m, n)), bits(element(left, right))) << m << "," << n;
      if (m == 1 || n == 0 || n == 2) {
        EXPECT_EQ(bits(y.at(m, n)), 0U);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Int8Products,
                         testing::Combine(testing::ValuesIn(cpu::available_isas()),
                                          testing::Values(DType::bf16, DType::f32)),
                         [](const auto& test) {
                           return std::string(cpu::name_of(std::get<0>(test.param))) +
                                  (std::get<1>(test.param) == DType::bf16 ? "_bf16" : "_f32");
                         });

TEST(Int8Cost, CountsIntegersAndScalesOfWholeBlocks) {
  int something = 0;
  const Tensor x(&something, DType::bf16, {3, 80}), w(nullptr, DType::bf16, {5, 80}),
      y(&something, DType::f32, {3, 5});
  const auto bytes = [&](const SumOrder& order, const void* packed, WeightFormat format) {
    return cost_of(
               ForwardProduct{.x = x, .w = w, .y = y, .order = order, .packed = packed, .packed_as = format})
        .bytes;
  };
  const double rest = 3 * 80 * 2 + 3 * 5 * 4;
  const double stored = rest + 5 * 80 * 2;
  EXPECT_EQ(bytes({}, nullptr, WeightFormat::as_stored), stored);
  EXPECT_EQ(bytes({}, &something, WeightFormat::as_stored), stored);
  EXPECT_EQ(bytes({}, &something, WeightFormat::q8_0), rest + 5 * 3 * (32 + 2));  // 32 + 32 + 16
  EXPECT_EQ(bytes({.leaves = 2}, &something, WeightFormat::q8_0),
            rest + 5 * 2 * 2 * (32 + 2));  // 40 is 32 + 8
}

// Also those that a device of this processor would not choose.
TEST(Int8Kernels, GiveEqualBits) {
  set_floating_point_mode();
  const cpu::MatmulKernels operands = cpu::matmul_kernels_portable();
  RandomTensor x(DType::f32, 17, 384, 17);
  RandomTensor w(DType::f32, 131, 384, 18);
  ThreadPool pool(2);
  std::vector<float> expected;
  for (const cpu::Int8Kernels& kernels : cpu::available_int8_kernels()) {
    cpu::Int8Matmul product(pool, kernels, operands);
    const SumOrder order{.leaves = 4};
    const std::size_t size = product.packed_bytes(w.tensor(), order);
    Arena arena("packed", size + 64);
    void* packed = arena.allocate_bytes(size);
    product.pack({.w = w.tensor(), .order = order, .format = WeightFormat::q8_0, .packed = packed});
    RandomTensor y(DType::f32, 17, 131, 19);
    product.forward({.x = x.tensor(), .w = w.tensor(), .y = y.tensor(), .order = order, .packed = packed});
    std::vector<float> found;
    for (std::int64_t m = 0; m < 17; ++m) {
      for (std::int64_t n = 0; n < 131; ++n) found.push_back(y.at(m, n));
    }
    if (expected.empty()) expected = found;
    for (std::size_t i = 0; i < found.size(); ++i)
      ASSERT_EQ(bits(found[i]), bits(expected[i])) << kernels.name << " " << i;
  }
}

}  // namespace
}  // namespace megalith
