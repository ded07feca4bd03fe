// Attention against its float64 oracle.
#include <gtest/gtest.h>

#include "device/attention_case.h"

namespace megalith {
namespace {

using test::AttentionCase;
using test::AttentionOutcome;

// Half a unit in the last place of the operands' dtype, relative.
double rounding(DType dtype) {
  return dtype == DType::bf16 ? 0x1p-8 : 0x1p-24;
}

// Weights and the result are each rounded once to the dtype; fp32 sums of `terms` terms, the scores' error
// carried through exp, and the softmax sum err by about terms * 2^-24 each.
void expect_near(const char* what, const test::Buffer& found, const std::vector<double>& expected,
                 const std::vector<double>& magnitude, double relative) {
  const std::vector<double> values = found.doubles();
  ASSERT_EQ(values.size(), expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double allowed = relative * magnitude[i] + 1e-30;
    const double error = std::fabs(values[i] - expected[i]);
    worst = std::max(worst, std::isnan(error) ? INFINITY : error / allowed);
  }
  EXPECT_LE(worst, 1.0) << what << ": largest error over its bound";
}

void expect_as_oracle(const AttentionCase& c, cpu::Isa isa) {
  SCOPED_TRACE(fmt::format("{} {} B{} S{} N{} G{} D{} split {}", cpu::name_of(isa), name_of(c.dtype),
                           c.shape.sequences, c.shape.sequence, c.shape.heads, c.shape.kv_heads,
                           c.shape.head_size, c.shape.attention_split));
  const AttentionOutcome found = test::run_both(c, isa, 2);
  const reference::Attention a = test::reference_of(c);
  const reference::AttentionResult forward = reference::forward(a);
  // |score| stays below about 16 here; a score's fp32 error is at most D 2^-24 of its terms' magnitudes,
  // about 4 times as large.
  const double fp32 =
      (64.0 * c.shape.head_size / 16 + 2.0 * static_cast<double>(c.shape.sequence) + 16) * 0x1p-24;
  const double twice = 2 * rounding(c.dtype) + fp32;
  expect_near("out", found.out, forward.out, forward.out_magnitude, twice);
  const std::vector<double> ones(forward.log_sum_exp.size(), 1.0);
  expect_near("log_sum_exp", found.log_sum_exp, forward.log_sum_exp, ones, fp32 + 16 * 0x1p-24);
  const reference::AttentionGradients backward =
      reference::backward(a, found.out.doubles(), c.dout.doubles());
  expect_near("dq", found.dq, backward.dq, backward.dq_magnitude, twice);
  expect_near("dk", found.dk, backward.dk, backward.dk_magnitude, twice);
  expect_near("dv", found.dv, backward.dv, backward.dv_magnitude, twice);
}

AttentionShape shape_of(int b, int s, int n, int g, int d, int split = 1024) {
  return {.sequences = b,
          .sequence = s,
          .heads = n,
          .kv_heads = g,
          .head_size = d,
          .scale = 0,
          .key_block = 64,
          .attention_split = split};
}

TEST(Attention, EqualsTheOracleAtEdgeShapes) {
  for (const cpu::Isa isa : cpu::available_isas()) {
    for (const DType dtype : {DType::bf16, DType::f32}) {
      for (const int s : {1, 2, 15, 16, 63, 64, 65, 130, 200}) {
        expect_as_oracle(test::make_case(shape_of(1, s, 2, 1, 16), dtype), isa);
      }
      for (const int d : {2, 6, 18, 32, 64, 80, 128}) {
        expect_as_oracle(test::make_case(shape_of(1, 70, 1, 1, d), dtype), isa);
      }
    }
  }
}

TEST(Attention, EqualsTheOracleWithGroupedQueries) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const auto& [n, g] : {std::pair{3, 3}, {4, 2}, {4, 1}, {6, 1}, {12, 3}}) {
      expect_as_oracle(test::make_case(shape_of(2, 75, n, g, 32), dtype), cpu::available_isas().back());
    }
  }
}

TEST(Attention, EqualsTheOracleWithPackedDocumentsAndSplits) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const int split : {64, 128, 1024}) {
      const AttentionCase c = test::make_case(shape_of(2, 400, 2, 2, 64, split), dtype, {1, 63, 64, 300});
      expect_as_oracle(c, cpu::available_isas().back());
    }
  }
}

TEST(Attention, EqualsTheOracleWithAWindow) {
  for (const cpu::Isa isa : cpu::available_isas()) {
    for (const DType dtype : {DType::bf16, DType::f32}) {
      for (const std::int64_t window : {1, 2, 63, 64, 65, 150, 299, 300, 1000}) {
        AttentionShape shape = shape_of(1, 300, 2, 1, 16, 128);
        shape.window = window;
        expect_as_oracle(test::make_case(shape, dtype, {41}), isa);
      }
    }
  }
}

TEST(Attention, AWindowAsLongAsTheSequenceChangesNoBit) {
  AttentionCase c = test::make_case(shape_of(2, 200, 2, 1, 16, 64), DType::bf16, {41});
  const AttentionOutcome all = test::run_both(c, cpu::available_isas().back(), 2);
  c.shape.window = 200;
  const AttentionOutcome windowed = test::run_both(c, cpu::available_isas().back(), 2);
  EXPECT_EQ(windowed.out.bits(), all.out.bits());
  EXPECT_EQ(windowed.dq.bits(), all.dq.bits());
  EXPECT_EQ(windowed.dk.bits(), all.dk.bits());
  EXPECT_EQ(windowed.dv.bits(), all.dv.bits());
}

TEST(Attention, EqualsTheOracleUnderDropout) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    AttentionCase c = test::make_case(shape_of(2, 150, 4, 2, 32, 64), dtype, {3, 77});
    test::use_dropout(c, 0.25);
    expect_as_oracle(c, cpu::available_isas().back());
  }
}

TEST(Attention, OperandsMayBeColumnSlicesOfOneTensor) {
  AttentionCase c = test::make_case(shape_of(2, 90, 4, 2, 16), DType::bf16);
  const AttentionOutcome dense = test::run_both(c, cpu::available_isas().back(), 1);
  test::Buffer fused(DType::bf16, c.q.rows(), 64 + 32 + 32);
  test::Buffer gradients = fused;
  for (std::int64_t r = 0; r < c.q.rows(); ++r) {
    for (int j = 0; j < 64; ++j) fused.set(r, j, c.q.get(r, j));
    for (int j = 0; j < 32; ++j) fused.set(r, 64 + j, c.k.get(r, j));
    for (int j = 0; j < 32; ++j) fused.set(r, 96 + j, c.v.get(r, j));
  }
  ThreadPool pool(1);
  const auto ops = cpu::make_attention(pool, cpu::available_isas().back());
  test::Buffer row_dots(DType::f32, 4, c.q.rows());
  ops->backward({.shape = c.shape,
                 .q = fused.tensor().column_slice(0, 64),
                 .k = fused.tensor().column_slice(64, 32),
                 .v = fused.tensor().column_slice(96, 32),
                 .out = dense.out.tensor(),
                 .dout = c.dout.tensor(),
                 .log_sum_exp = dense.log_sum_exp.tensor(),
                 .document_start = nullptr,
                 .dq = gradients.tensor().column_slice(0, 64),
                 .dk = gradients.tensor().column_slice(64, 32),
                 .dv = gradients.tensor().column_slice(96, 32),
                 .row_dots = row_dots.tensor(),
                 .dropout = {}});
  for (std::int64_t r = 0; r < c.q.rows(); ++r) {
    for (int j = 0; j < 64; ++j) ASSERT_EQ(gradients.get(r, j), dense.dq.get(r, j));
    for (int j = 0; j < 32; ++j) ASSERT_EQ(gradients.get(r, 64 + j), dense.dk.get(r, j));
    for (int j = 0; j < 32; ++j) ASSERT_EQ(gradients.get(r, 96 + j), dense.dv.get(r, j));
  }
}

// The oracle's own backward, by central differences of a weighted sum of its outputs.
TEST(AttentionReference, GradientsEqualFiniteDifferences) {
  AttentionCase c = test::make_case(shape_of(1, 9, 4, 2, 4), DType::f32, {4});
  test::use_dropout(c, 0.2);
  reference::Attention a = test::reference_of(c);
  const std::vector<double> dout = c.dout.doubles();
  const reference::AttentionGradients g = reference::backward(a, reference::forward(a).out, dout);
  const auto loss = [&] {
    const std::vector<double> out = reference::forward(a).out;
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * dout[i];
    return sum;
  };
  const auto check = [&](std::vector<double>& operand, const std::vector<double>& gradient) {
    for (std::size_t i = 0; i < operand.size(); i += 3) {
      const double kept = operand[i];
      operand[i] = kept + 1e-5;
      const double above = loss();
      operand[i] = kept - 1e-5;
      const double below = loss();
      operand[i] = kept;
      EXPECT_NEAR(gradient[i], (above - below) / 2e-5, 1e-8 * (1 + std::fabs(gradient[i])));
    }
  };
  check(a.q, g.dq);
  check(a.k, g.dk);
  check(a.v, g.dv);
}

TEST(Attention, CostCountsVisiblePairsOnly) {
  const AttentionCase c = test::make_case(shape_of(1, 6, 2, 1, 8), DType::bf16, {4});
  AttentionForward args;
  args.shape = c.shape;
  args.document_start = c.document_start.data();
  EXPECT_EQ(cost_of(args).flops, 4.0 * 8 * 2 * (1 + 2 + 3 + 4 + 1 + 2));
  args.shape.window = 3;
  EXPECT_EQ(cost_of(args).flops, 4.0 * 8 * 2 * (1 + 2 + 3 + 3 + 1 + 2));
}

}  // namespace
}  // namespace megalith
