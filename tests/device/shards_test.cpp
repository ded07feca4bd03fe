// What R ranks compute of one operation, joined, has the bits of the operation done by one.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>

#include "core/fixed_point.h"
#include "device/attention_case.h"
#include "device/random_tensor.h"

namespace megalith {
namespace {

using test::Buffer;
using test::RandomTensor;

constexpr int kTree = 8;
constexpr int kRanks[] = {1, 2, 4, 8};

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

// Calls body(device) for every family and several thread counts.
void everywhere(const std::function<void(Device&)>& body) {
  for (const cpu::Isa isa : cpu::available_isas()) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(std::string(cpu::name_of(isa)) + ", threads " + std::to_string(threads));
      body(*cpu::make_device(threads, isa));
    }
  }
}

// Memory of f32 [R, M, H] and views of it.
struct Parts {
  Parts(std::int64_t parts, std::int64_t rows_, std::int64_t columns_)
      : rows(rows_), columns(columns_), values(static_cast<std::size_t>(parts * rows * columns)) {
    whole = Tensor(values.data(), DType::f32, {parts, rows, columns});
  }
  [[nodiscard]] Tensor part(std::int64_t r) const { return whole.row_slice(r * rows, rows); }
  std::int64_t rows, columns;
  std::vector<float> values;
  Tensor whole;
};

// A pairwise sum written as its definition, and the same terms in ascending order.
double by_tree(const Parts& parts, std::int64_t row, std::int64_t column, int begin, int count,
               bool rounded) {
  if (count == 1) return parts.part(begin).row<float>(row)[column];
  const double sum = by_tree(parts, row, column, begin, count / 2, rounded) +
                     by_tree(parts, row, column, begin + count / 2, count / 2, rounded);
  return rounded ? static_cast<float>(sum) : sum;
}

class Shards : public testing::TestWithParam<DType> {
 protected:
  [[nodiscard]] float stored(double value) const {
    const auto single = static_cast<float>(value);
    return GetParam() == DType::bf16 ? to_float(to_bf16(single)) : single;
  }
};

TEST_P(Shards, ATreeSumJoinsPairwiseAndRoundsOnce) {
  everywhere([&](Device& device) {
    int unlike_ascending = 0;
    for (const int count : {1, 2, 4, 8, 16, 32, 64}) {
      for (const std::int64_t columns : {1, 3, 16, 130}) {
        Parts parts(count, 5, columns);
        RandomTensor random(DType::f32, 1, static_cast<std::int64_t>(parts.values.size()), 9);
        for (std::size_t i = 0; i < parts.values.size(); ++i)
          parts.values[i] = random.at(0, static_cast<std::int64_t>(i));
        RandomTensor y(GetParam(), 5, columns, 2, 1, 3);
        device.shards().sum({.parts = parts.whole, .y = y.tensor()});
        y.expect_guards_untouched();
        for (std::int64_t r = 0; r < 5; ++r) {
          for (std::int64_t c = 0; c < columns; ++c) {
            ASSERT_EQ(bits(y.at(r, c)), bits(stored(by_tree(parts, r, c, 0, count, true)))) << count;
            const double exact = by_tree(parts, r, c, 0, count, false);
            const double half_a_place = GetParam() == DType::bf16 ? 0x1p-8 : 0;
            ASSERT_NEAR(y.at(r, c), exact, std::fabs(exact) * half_a_place + 2e-5);
            float ascending = 0;
            for (int p = 0; p < count; ++p) ascending += parts.part(p).row<float>(r)[c];
            unlike_ascending += by_tree(parts, r, c, 0, count, true) != ascending ? 1 : 0;
          }
        }
      }
    }
    EXPECT_GT(unlike_ascending, 0) << "another order would be seen";
  });
}

TEST_P(Shards, ATreeSumMayReplaceItsFirstPart) {
  everywhere([&](Device& device) {
    Parts parts(4, 6, 40);
    for (std::size_t i = 0; i < parts.values.size(); ++i) parts.values[i] = static_cast<float>(i % 7);
    const Parts before = parts;
    device.shards().sum({.parts = parts.whole, .y = parts.part(0)});
    for (std::size_t i = 0; i < 240; ++i) {
      float sum = 0;  // of small integers: exact
      for (std::size_t p = 0; p < 4; ++p) sum += before.values[240 * p + i];
      ASSERT_EQ(parts.values[i], sum);
    }
  });
}

// Part r of R of each fused member, side by side.
RandomTensor share_of(const RandomTensor& whole, std::int64_t rows, std::array<std::int64_t, 3> members,
                      DType dtype, int ranks, int rank) {
  const std::int64_t columns = (members[0] + members[1] + members[2]) / ranks;
  RandomTensor share(dtype, rows, columns, 1);
  std::int64_t from = 0;
  std::int64_t to = 0;
  for (const std::int64_t member : members) {
    const std::int64_t part = member / ranks;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < part; ++c) share.set(r, to + c, whole.at(r, from + rank * part + c));
    }
    from += member;
    to += part;
  }
  return share;
}

std::array<std::int64_t, 3> divided(std::array<std::int64_t, 3> members, int ranks) {
  for (std::int64_t& member : members) member /= ranks;
  return members;
}

// Odd parts of members too: a pair of terms then spans two members, on one rank as on all.
TEST_P(Shards, ProductsOfSharesOfTheSummedDimensionJoinToTheProduct) {
  constexpr std::int64_t kTokens = 9;
  constexpr std::int64_t kOutputs = 50;
  everywhere([&](Device& device) {
    for (const std::array<std::int64_t, 3> members :
         {std::array<std::int64_t, 3>{64, 0, 0}, {64, 16, 16}, {24, 24, 8}, {8, 0, 0}}) {
      const std::int64_t inputs = members[0] + members[1] + members[2];
      RandomTensor x(GetParam(), kTokens, inputs, 1);
      RandomTensor w(GetParam(), kOutputs, inputs, 2);
      RandomTensor whole(GetParam(), kTokens, kOutputs, 3);
      device.matmul().forward({.x = x.tensor(),
                               .w = w.tensor(),
                               .y = whole.tensor(),
                               .order = {.leaves = kTree, .members = members}});
      for (const int ranks : kRanks) {
        Parts parts(ranks, kTokens, kOutputs);
        for (int rank = 0; rank < ranks; ++rank) {
          RandomTensor x_share = share_of(x, kTokens, members, GetParam(), ranks, rank);
          RandomTensor w_share = share_of(w, kOutputs, members, GetParam(), ranks, rank);
          device.matmul().forward({.x = x_share.tensor(),
                                   .w = w_share.tensor(),
                                   .y = parts.part(rank),
                                   .order = {.leaves = kTree / ranks, .members = divided(members, ranks)}});
        }
        RandomTensor joined(GetParam(), kTokens, kOutputs, 4);
        device.shards().sum({.parts = parts.whole, .y = joined.tensor()});
        for (std::int64_t r = 0; r < kTokens; ++r) {
          for (std::int64_t c = 0; c < kOutputs; ++c)
            ASSERT_EQ(bits(joined.at(r, c)), bits(whole.at(r, c))) << ranks << " ranks";
        }
      }
    }
  });
}

TEST_P(Shards, RowsOfATableCutByRowsAreSelectedBitByBit) {
  constexpr std::int64_t kRows = 24;  // of the whole table
  constexpr std::int64_t kTokens = 40;
  constexpr std::int64_t kWidth = 19;
  RandomTensor table(GetParam(), kRows, kWidth, 1);
  for (std::int64_t c = 0; c < kWidth; ++c) table.set(5, c, -0.0f);
  std::vector<std::int32_t> ids;
  for (std::int32_t t = 0; t < kTokens; ++t) ids.push_back(t * 7 % kRows);
  everywhere([&](Device& device) {
    for (const int ranks : kRanks) {
      const std::int64_t rows = kRows / ranks;
      std::vector<std::byte> memory(static_cast<std::size_t>(ranks * kTokens * kWidth) * size_of(GetParam()));
      const Tensor parts(memory.data(), GetParam(), {ranks, kTokens, kWidth});
      for (int rank = 0; rank < ranks; ++rank) {
        device.shards().lookup({.ids = ids.data(),
                                .first_row = rank * rows,
                                .table = table.tensor().row_slice(rank * rows, rows),
                                .y = parts.row_slice(rank * kTokens, kTokens)});
      }
      RandomTensor y(GetParam(), kTokens, kWidth, 2, 1, 2);
      device.shards().select({.ids = ids.data(), .part_rows = rows, .parts = parts, .y = y.tensor()});
      y.expect_guards_untouched();
      for (std::int64_t t = 0; t < kTokens; ++t) {
        for (std::int64_t c = 0; c < kWidth; ++c)
          ASSERT_EQ(bits(y.at(t, c)), bits(table.at(ids[static_cast<std::size_t>(t)], c)));
      }
    }
  });
}

TEST_P(Shards, ColumnPiecesMakeUpRowsAndComeApartAgain) {
  everywhere([&](Device& device) {
    RandomTensor whole(GetParam(), 37, 24, 1, 1, 5);
    std::vector<std::byte> memory(37 * 24 * size_of(GetParam()));
    const Tensor pieces(memory.data(), GetParam(), {4, 37, 6});
    device.shards().split({.pieces = pieces, .whole = whole.tensor()});
    with_float_type(GetParam(), [&]<class T>(T) {
      for (std::int64_t p = 0; p < 4; ++p) {
        for (std::int64_t t = 0; t < 37; ++t) {
          for (std::int64_t c = 0; c < 6; ++c)
            ASSERT_EQ(to_float(pieces.row<T>(p * 37 + t)[c]), whole.at(t, p * 6 + c));
        }
      }
    });
    RandomTensor again(GetParam(), 37, 24, 2, 1, 3);
    device.shards().join({.pieces = pieces, .whole = again.tensor()});
    again.expect_guards_untouched();
    for (std::int64_t t = 0; t < 37; ++t) {
      for (std::int64_t c = 0; c < 24; ++c) ASSERT_EQ(again.at(t, c), whole.at(t, c));
    }
  });
}

TEST_P(Shards, DropoutOfAStretchOfTokensIsThatOfTheWhole) {
  const std::int64_t samples[] = {7, 3, 12};
  const Dropout whole{
      .threshold = dropout_threshold(0.25), .seed = 11, .site = 5, .samples = samples, .sequence = 8};
  everywhere([&](Device& device) {
    ElementwiseOps& ops = device.elementwise();
    RandomTensor x(DType::f32, 24, 20, 1);
    RandomTensor residual(GetParam(), 24, 20, 3);
    RandomTensor table(GetParam(), 24, 20, 4);
    const auto results = [&](std::int64_t first, std::int64_t rows) {
      Dropout dropout = whole;
      dropout.first_token = first;
      std::vector<std::uint32_t> found;
      RandomTensor y(GetParam(), rows, 20, 5);
      const auto keep = [&] {
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = 0; c < 20; ++c) found.push_back(bits(y.at(r, c)));
        }
      };
      ops.forward(BiasDropoutResidual{.x = x.tensor().row_slice(first, rows),
                                      .residual = residual.tensor().row_slice(first, rows),
                                      .y = y.tensor(),
                                      .dropout = dropout});
      keep();
      ops.backward(DropoutBackward{
          .dy = residual.tensor().row_slice(first, rows), .dx = y.tensor(), .dropout = dropout});
      keep();
      ops.forward(EmbeddingForward{
          .token_table = table.tensor().row_slice(first, rows), .y = y.tensor(), .dropout = dropout});
      keep();
      std::vector<std::int64_t> gradient(20, 0);
      const std::vector<std::int32_t> ids(static_cast<std::size_t>(rows), 0);
      Verdict verdict;
      ops.backward(EmbeddingBackward{.ids = ids.data(),
                                     .dy = residual.tensor().row_slice(first, rows),
                                     .dtoken_table = Tensor(gradient.data(), DType::i64, {1, 20}),
                                     .dropout = dropout,
                                     .shift = 30,
                                     .verdict = &verdict});
      return std::pair(found, gradient);
    };
    const auto [all, gradient] = results(0, 24);
    std::vector<std::int64_t> sum(20, 0);
    for (std::int64_t first = 0; first < 24; first += 6) {
      const auto [stretch, part] = results(first, 6);
      for (std::size_t operation = 0; operation < 3; ++operation) {
        for (std::size_t i = 0; i < 120; ++i) {
          ASSERT_EQ(stretch[operation * 120 + i],
                    all[operation * 480 + static_cast<std::size_t>(first) * 20 + i]);
        }
      }
      for (std::size_t c = 0; c < 20; ++c) sum[c] += part[c];
    }
    EXPECT_EQ(sum, gradient);
  });
}

TEST_P(Shards, EmbeddingGradientsOfRowRangesMakeUpThoseOfTheTable) {
  constexpr std::int64_t kRows = 16;
  constexpr std::int64_t kTokens = 30;
  constexpr std::int64_t kWidth = 70;
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> positions;
  for (std::int32_t t = 0; t < kTokens; ++t) {
    ids.push_back(t * 5 % kRows);
    positions.push_back(t % 7);
  }
  RandomTensor dy(GetParam(), kTokens, kWidth, 1);
  everywhere([&](Device& device) {
    const auto gradients = [&](int ranks, int rank, bool places) {
      const std::int64_t rows = kRows / ranks;
      std::vector<std::int64_t> table(static_cast<std::size_t>(rows * kWidth), 0);
      std::vector<std::int64_t> position_table(static_cast<std::size_t>(7 * kWidth), 0);
      Verdict verdict;
      device.elementwise().backward(EmbeddingBackward{
          .ids = ids.data(),
          .positions = positions.data(),
          .dy = dy.tensor(),
          .dtoken_table = Tensor(table.data(), DType::i64, {rows, kWidth}),
          .dposition_table = places ? Tensor(position_table.data(), DType::i64, {7, kWidth}) : Tensor{},
          .shift = 30,
          .verdict = &verdict,
          .first_row = rank * rows});
      EXPECT_FALSE(verdict.bad());
      return std::pair(table, position_table);
    };
    for (const bool places : {false, true}) {
      const auto [whole, whole_positions] = gradients(1, 0, places);
      for (const int ranks : {2, 4, 8}) {
        std::vector<std::int64_t> together;
        for (int rank = 0; rank < ranks; ++rank) {
          const auto [part, part_positions] = gradients(ranks, rank, places);
          together.insert(together.end(), part.begin(), part.end());
          EXPECT_EQ(part_positions, whole_positions) << "every rank has all positions";
        }
        EXPECT_EQ(together, whole);
      }
    }
  });
}

struct Loss {
  std::vector<std::uint32_t> log_probability, state, gradient;
  bool operator==(const Loss&) const = default;
};

TEST_P(Shards, CrossEntropyInTwoHalvesIsTheWholeOne) {
  constexpr std::int64_t kRows = 12;
  constexpr std::int64_t kPadded = 512;
  for (const std::int64_t vocabulary : {512, 509, 400, 130, 3}) {
    RandomTensor logits(DType::f32, kRows, kPadded, 4, 3);
    std::vector<std::int32_t> targets;
    std::vector<std::uint8_t> mask;
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = vocabulary; c < kPadded; ++c) logits.set(r, c, NAN);
      targets.push_back(static_cast<std::int32_t>((r * 7919 + 2) % vocabulary));
      mask.push_back(r % 5 == 3 ? 0 : 1);
    }
    everywhere([&](Device& device) {
      LossOps& ops = device.loss();
      const auto loss = [&](int ranks, bool fused) {
        const std::int64_t columns = kPadded / ranks;
        const CrossEntropyShape shape{.vocabulary = vocabulary,
                                      .leaves = kTree / ranks,
                                      .vocab_block = 32,
                                      .softcap = 7,
                                      .z_loss = 0.01f};
        Parts log_probability(1, 1, kRows);
        Parts state(1, kRows, 2);
        const Tensor log_probabilities(log_probability.values.data(), DType::f32, {kRows});
        if (fused) {
          ops.forward({.shape = shape,
                       .logits = logits.tensor(),
                       .targets = targets.data(),
                       .log_probability = log_probabilities,
                       .log_sum_exp = state.part(0)});
        } else {
          Parts partials(ranks, kRows, 3);
          for (int rank = 0; rank < ranks; ++rank) {
            ops.partial({.shape = shape,
                         .first_column = rank * columns,
                         .logits = logits.tensor().column_slice(rank * columns, columns),
                         .targets = targets.data(),
                         .partial = partials.part(rank)});
          }
          ops.join({.share_columns = columns,
                    .partials = partials.whole,
                    .targets = targets.data(),
                    .log_probability = log_probabilities,
                    .log_sum_exp = state.part(0)});
        }
        RandomTensor gradient(GetParam(), kRows, kPadded, 5);
        for (int rank = 0; rank < ranks; ++rank) {
          ops.backward({.shape = shape,
                        .first_column = rank * columns,
                        .logits = logits.tensor().column_slice(rank * columns, columns),
                        .targets = targets.data(),
                        .loss_mask = mask.data(),
                        .log_sum_exp = state.part(0),
                        .dlogits = gradient.tensor().column_slice(rank * columns, columns)});
        }
        Loss result;
        for (const float value : log_probability.values) result.log_probability.push_back(bits(value));
        for (const float value : state.values) result.state.push_back(bits(value));
        for (std::int64_t r = 0; r < kRows; ++r) {
          for (std::int64_t c = 0; c < kPadded; ++c) result.gradient.push_back(bits(gradient.at(r, c)));
        }
        return result;
      };
      const Loss whole = loss(1, true);
      for (const int ranks : kRanks) EXPECT_EQ(loss(ranks, false), whole) << ranks << " ranks";
    });
  }
}

// Heads first .. first + count - 1 of a case with one key/value head.
test::AttentionCase head_share(const test::AttentionCase& whole, int first, int count) {
  test::AttentionCase share = whole;
  const int size = whole.shape.head_size;
  share.shape.heads = count;
  share.q = Buffer(whole.dtype, whole.q.rows(), std::int64_t{count} * size);
  share.dout = share.q;
  for (std::int64_t r = 0; r < share.q.rows(); ++r) {
    for (std::int64_t c = 0; c < share.q.columns(); ++c) {
      share.q.set(r, c, whole.q.get(r, first * size + c));
      share.dout.set(r, c, whole.dout.get(r, first * size + c));
    }
  }
  share.dropout.site += static_cast<std::uint32_t>(first);
  return share;
}

TEST_P(Shards, KeyGradientsOfSharesOfAGroupsHeadsJoinToTheGroups) {
  for (const int heads : {8, 12}) {
    test::AttentionCase whole = test::make_case({.sequences = 2,
                                                 .sequence = 53,
                                                 .heads = heads,
                                                 .kv_heads = 1,
                                                 .head_size = 18,
                                                 .key_block = 16,
                                                 .attention_split = 32},
                                                GetParam(), {17});
    for (const double rate : {0.0, 0.1}) {
      if (rate > 0) test::use_dropout(whole, rate);
      everywhere([&](Device& device) {
        const test::AttentionOutcome expected = test::run_both(whole, device.attention());
        for (const int ranks : {1, 2, 4, 8}) {
          if (heads / ranks * ranks != heads) continue;
          Parts dk(ranks, whole.k.rows(), whole.k.columns());
          Parts dv = dk;
          dv.whole = Tensor(dv.values.data(), DType::f32, {ranks, dv.rows, dv.columns});
          for (int rank = 0; rank < ranks; ++rank) {
            const test::AttentionCase share = head_share(whole, rank * heads / ranks, heads / ranks);
            const test::AttentionOutcome forward = test::run_forward(share, device.attention());
            Buffer dq(whole.dtype, share.q.rows(), share.q.columns());
            Buffer row_dots(DType::f32, share.shape.heads, share.q.rows());
            device.attention().backward({.shape = share.shape,
                                         .q = share.q.tensor(),
                                         .k = share.k.tensor(),
                                         .v = share.v.tensor(),
                                         .out = forward.out.tensor(),
                                         .dout = share.dout.tensor(),
                                         .log_sum_exp = forward.log_sum_exp.tensor(),
                                         .document_start = share.document_start.data(),
                                         .dq = dq.tensor(),
                                         .dk = dk.part(rank),
                                         .dv = dv.part(rank),
                                         .row_dots = row_dots.tensor(),
                                         .dropout = share.dropout});
          }
          Buffer joined(whole.dtype, whole.k.rows(), whole.k.columns());
          device.shards().sum({.parts = dk.whole, .y = joined.tensor()});
          EXPECT_TRUE(joined.bits() == expected.dk.bits()) << "dk of " << ranks << " ranks";
          device.shards().sum({.parts = dv.whole, .y = joined.tensor()});
          EXPECT_TRUE(joined.bits() == expected.dv.bits()) << "dv of " << ranks << " ranks";
        }
      });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Shards, testing::Values(DType::f32, DType::bf16),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

}  // namespace
}  // namespace megalith
