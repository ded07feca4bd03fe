// Attention's promise: the same bits from every kernel family, thread count, batch, packing, chunking and
// from decode.
#include <gtest/gtest.h>

#include "device/attention_case.h"
#include "reference/attention_twin.h"

namespace megalith {
namespace {

using reference::AttentionTwin;
using reference::Flaw;
using test::AttentionCase;
using test::AttentionOutcome;
using test::Buffer;

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

void expect_same(const AttentionOutcome& a, const AttentionOutcome& b) {
  EXPECT_TRUE(a.out.bits() == b.out.bits()) << "out";
  EXPECT_TRUE(a.log_sum_exp.bits() == b.log_sum_exp.bits()) << "log_sum_exp";
  EXPECT_TRUE(a.dq.bits() == b.dq.bits()) << "dq";
  EXPECT_TRUE(a.dk.bits() == b.dk.bits()) << "dk";
  EXPECT_TRUE(a.dv.bits() == b.dv.bits()) << "dv";
}

std::vector<AttentionCase> varied_cases() {
  std::vector<AttentionCase> cases;
  for (const DType dtype : {DType::bf16, DType::f32}) {
    cases.push_back(test::make_case(shape_of(2, 203, 2, 2, 64, 128), dtype, {1, 63, 64}));
    cases.push_back(test::make_case(shape_of(1, 97, 4, 1, 18), dtype, {31}));
    cases.push_back(test::make_case(shape_of(1, 70, 6, 2, 80, 64), dtype));
    AttentionShape windowed = shape_of(1, 259, 2, 2, 16, 64);
    windowed.window = 75;
    cases.push_back(test::make_case(windowed, dtype, {45}));
  }
  return cases;
}

AttentionTwin twin_of(const AttentionCase& c, int sequence, int head) {
  AttentionTwin twin;
  const int d = c.shape.head_size;
  twin.bf16 = c.dtype == DType::bf16;
  twin.length = static_cast<int>(c.shape.sequence);
  twin.size = d;
  twin.split = c.shape.attention_split;
  twin.window = static_cast<int>(c.shape.window);
  twin.scale = c.shape.scale;
  const int kv_head = head / (c.shape.heads / c.shape.kv_heads);
  for (int i = 0; i < twin.length; ++i) {
    const std::int64_t row = std::int64_t{sequence} * twin.length + i;
    for (int j = 0; j < d; ++j) {
      twin.q.push_back(c.q.get(row, head * d + j));
      twin.dout.push_back(c.dout.get(row, head * d + j));
      twin.k.push_back(c.k.get(row, kv_head * d + j));
      twin.v.push_back(c.v.get(row, kv_head * d + j));
    }
    twin.document_start.push_back(c.document_start[static_cast<std::size_t>(row)]);
  }
  if (c.dropout.active()) {
    twin.factor = [factor = test::reference_of(c).factor, sequence, head](int query, int key) {
      return static_cast<float>(factor(sequence, head, query, key));
    };
  }
  return twin;
}

// Elements of one head of one sequence that differ in bits from the twin's.
int differing(const Buffer& buffer, const AttentionCase& c, int sequence, int head,
              const std::vector<float>& twin) {
  int count = 0;
  for (int i = 0; i < c.shape.sequence; ++i) {
    for (int d = 0; d < c.shape.head_size; ++d) {
      const float x = buffer.get(sequence * c.shape.sequence + i, head * c.shape.head_size + d);
      const float y = twin[static_cast<std::size_t>(i * c.shape.head_size + d)];
      count += std::bit_cast<std::uint32_t>(x) != std::bit_cast<std::uint32_t>(y);
    }
  }
  return count;
}

struct Differences {
  int out = 0, log_sum_exp = 0, dq = 0, dk = 0, dv = 0;
  [[nodiscard]] int all() const { return out + log_sum_exp + dq + dk + dv; }
};

Differences against_twin(const AttentionCase& c, const AttentionOutcome& found, int sequence, int head,
                         Flaw flaw) {
  set_floating_point_mode();
  AttentionTwin twin = twin_of(c, sequence, head);
  twin.flaw = flaw;
  twin.forward();
  twin.backward();
  Differences d;
  d.out = differing(found.out, c, sequence, head, twin.out);
  for (int i = 0; i < twin.length; ++i) {
    d.log_sum_exp += found.log_sum_exp.get(head, sequence * c.shape.sequence + i) !=
                     twin.log_sum_exp[static_cast<std::size_t>(i)];
  }
  d.dq = differing(found.dq, c, sequence, head, twin.dq);
  if (c.shape.heads == c.shape.kv_heads) {
    d.dk = differing(found.dk, c, sequence, head, twin.dk);
    d.dv = differing(found.dv, c, sequence, head, twin.dv);
  }
  return d;
}

TEST(AttentionBits, EqualTheScalarTwin) {
  for (AttentionCase& c : varied_cases()) {
    for (const double rate : {0.0, 0.3}) {
      if (rate > 0) test::use_dropout(c, rate);
      const AttentionOutcome found = test::run_both(c, cpu::available_isas().back(), 2);
      for (int b = 0; b < c.shape.sequences; ++b) {
        for (int head = 0; head < c.shape.heads; ++head) {
          EXPECT_EQ(against_twin(c, found, b, head, Flaw::none).all(), 0)
              << "sequence " << b << " head " << head;
        }
      }
    }
  }
}

TEST(AttentionBits, EveryPlantedOrderBugIsSeen) {
  const AttentionCase c = test::make_case(shape_of(1, 203, 1, 1, 64, 128), DType::bf16, {13});
  const AttentionOutcome found = test::run_both(c, cpu::available_isas().back(), 1);
  ASSERT_EQ(against_twin(c, found, 0, 0, Flaw::none).all(), 0);
  EXPECT_GT(against_twin(c, found, 0, 0, Flaw::blocks_from_the_sequence_start).out, 0);
  EXPECT_GT(against_twin(c, found, 0, 0, Flaw::key_blocks_descending).out, 0);
  EXPECT_GT(against_twin(c, found, 0, 0, Flaw::weights_not_rounded).out, 0);
  EXPECT_GT(against_twin(c, found, 0, 0, Flaw::low_element_first).log_sum_exp, 0);
  EXPECT_GT(against_twin(c, found, 0, 0, Flaw::block_sums_added).dq, 0);
  EXPECT_GT(against_twin(c, found, 0, 0, Flaw::query_pairs_by_document).dk, 0);
  const AttentionCase three_splits = test::make_case(shape_of(1, 300, 1, 1, 64, 128), DType::f32);
  const AttentionOutcome joined = test::run_both(three_splits, cpu::available_isas().back(), 1);
  ASSERT_EQ(against_twin(three_splits, joined, 0, 0, Flaw::none).all(), 0);
  EXPECT_GT(against_twin(three_splits, joined, 0, 0, Flaw::splits_joined_descending).out, 0);
  AttentionCase windowed = test::make_case(shape_of(1, 200, 1, 1, 64, 128), DType::f32, {13});
  windowed.shape.window = 70;
  const AttentionOutcome slid = test::run_both(windowed, cpu::available_isas().back(), 1);
  ASSERT_EQ(against_twin(windowed, slid, 0, 0, Flaw::none).all(), 0);
  EXPECT_GT(against_twin(windowed, slid, 0, 0, Flaw::blocks_from_the_window_start).out, 0);
}

TEST(AttentionBits, AreTheSameInEveryKernelFamily) {
  for (AttentionCase& c : varied_cases()) {
    test::use_dropout(c, 0.1);
    const AttentionOutcome portable = test::run_both(c, cpu::Isa::portable, 1);
    for (const cpu::Isa isa : cpu::available_isas()) {
      SCOPED_TRACE(cpu::name_of(isa));
      expect_same(test::run_both(c, isa, 1), portable);
    }
  }
}

TEST(AttentionBits, AreTheSameForAnyNumberOfThreads) {
  std::vector<AttentionCase> cases = varied_cases();
  cases.push_back(test::make_case(shape_of(1, 700, 1, 1, 32, 256), DType::bf16));
  cases.push_back(test::make_case(shape_of(1, 501, 2, 1, 16, 256), DType::bf16, {3, 201}));
  cases.push_back(cases.back());
  cases.back().shape.window = 130;
  for (const AttentionCase& c : cases) {
    const AttentionOutcome one = test::run_both(c, cpu::available_isas().back(), 1);
    for (const int num_threads : {2, 3, 4, 16}) {
      SCOPED_TRACE(num_threads);
      expect_same(test::run_both(c, cpu::available_isas().back(), num_threads), one);
    }
  }
}

// A case with sequence `b` of `c` alone.
AttentionCase sequence_of(const AttentionCase& c, int b) {
  AttentionShape shape = c.shape;
  shape.sequences = 1;
  AttentionCase r = test::make_case(shape, c.dtype);
  for (std::int64_t i = 0; i < shape.sequence; ++i) {
    const std::int64_t row = b * shape.sequence + i;
    for (std::int64_t j = 0; j < c.q.columns(); ++j) {
      r.q.set(i, j, c.q.get(row, j));
      r.dout.set(i, j, c.dout.get(row, j));
    }
    for (std::int64_t j = 0; j < c.k.columns(); ++j) {
      r.k.set(i, j, c.k.get(row, j));
      r.v.set(i, j, c.v.get(row, j));
    }
    r.document_start[static_cast<std::size_t>(i)] = c.document_start[static_cast<std::size_t>(row)];
  }
  r.samples = {c.samples[static_cast<std::size_t>(b)]};
  return r;
}

TEST(AttentionBits, OfASequenceDoNotDependOnItsBatch) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    AttentionCase c = test::make_case(shape_of(5, 101, 2, 1, 32, 64), dtype, {17});
    test::use_dropout(c, 0.1);
    const AttentionOutcome batch = test::run_both(c, cpu::available_isas().back(), 2);
    for (int b = 0; b < 5; ++b) {
      AttentionCase alone_case = sequence_of(c, b);
      test::use_dropout(alone_case, 0.1);
      const AttentionOutcome alone = test::run_both(alone_case, cpu::available_isas().back(), 1);
      EXPECT_EQ(batch.out.bits(b * 101, 101), alone.out.bits());
      EXPECT_EQ(batch.dq.bits(b * 101, 101), alone.dq.bits());
      EXPECT_EQ(batch.dk.bits(b * 101, 101), alone.dk.bits());
      EXPECT_EQ(batch.dv.bits(b * 101, 101), alone.dv.bits());
    }
  }
}

// The document [offset, offset + length) of a longer sequence equals itself alone. dK and dV pair queries by
// position in the sequence, so in bf16 they are equal at even offsets only.
TEST(AttentionBits, OfAPackedDocumentEqualItAlone) {
  constexpr int kLength = 150;
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const int offset : {0, 1, 63, 64, 300}) {
      SCOPED_TRACE(offset);
      const AttentionCase alone_case = test::make_case(shape_of(1, kLength, 2, 1, 48, 64), dtype);
      std::vector<int> documents = {offset, offset + kLength};
      AttentionCase packed =
          test::make_case(shape_of(1, offset + kLength + 20, 2, 1, 48, 64), dtype, documents, 77);
      for (int i = 0; i < kLength; ++i) {
        for (std::int64_t j = 0; j < packed.q.columns(); ++j) {
          packed.q.set(offset + i, j, alone_case.q.get(i, j));
          packed.dout.set(offset + i, j, alone_case.dout.get(i, j));
        }
        for (std::int64_t j = 0; j < packed.k.columns(); ++j) {
          packed.k.set(offset + i, j, alone_case.k.get(i, j));
          packed.v.set(offset + i, j, alone_case.v.get(i, j));
        }
      }
      const AttentionOutcome alone = test::run_both(alone_case, cpu::available_isas().back(), 2);
      const AttentionOutcome found = test::run_both(packed, cpu::available_isas().back(), 2);
      EXPECT_EQ(found.out.bits(offset, kLength), alone.out.bits());
      EXPECT_EQ(found.dq.bits(offset, kLength), alone.dq.bits());
      if (dtype == DType::bf16 && offset % 2 == 1) continue;
      EXPECT_EQ(found.dk.bits(offset, kLength), alone.dk.bits());
      EXPECT_EQ(found.dv.bits(offset, kLength), alone.dv.bits());
    }
  }
}

// Keys and values of the case's one sequence in slot 1 of three; the other slots and the rest of slot 1 as
// given.
struct Cache {
  Buffer k, v;
  std::int64_t heads, capacity;

  Cache(const AttentionCase& c, float elsewhere, float unfilled)
      : heads(c.shape.kv_heads), capacity(c.shape.sequence + 30) {
    const std::int64_t size = c.shape.head_size;
    k = Buffer(c.dtype, 3 * heads * capacity, size);
    v = k;
    k.fill(elsewhere);
    v.fill(elsewhere);
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < capacity; ++i) {
        const std::int64_t row = (heads + h) * capacity + i;
        for (std::int64_t j = 0; j < size; ++j) {
          k.set(row, j, i < c.shape.sequence ? c.k.get(i, h * size + j) : unfilled);
          v.set(row, j, i < c.shape.sequence ? c.v.get(i, h * size + j) : unfilled);
        }
      }
    }
  }
  [[nodiscard]] Tensor view(const Buffer& buffer) const {
    return Tensor(buffer.tensor().data, buffer.tensor().dtype, {3, heads, capacity, buffer.columns()});
  }
};

// Rows [first, first + count) of the case's queries against the cache.
std::vector<unsigned char> attend(const AttentionCase& c, const Cache& cache, AttentionOps& ops, int first,
                                  int count) {
  std::vector<std::int32_t> slots(static_cast<std::size_t>(count), 1);
  std::vector<std::int32_t> positions;
  for (int i = 0; i < count; ++i) positions.push_back(first + i);
  Buffer out(c.dtype, count, c.q.columns());
  ops.cached({.shape = c.shape,
              .rows = count,
              .q = c.q.tensor().row_slice(first, count),
              .k_cache = cache.view(cache.k),
              .v_cache = cache.view(cache.v),
              .slot = slots.data(),
              .position = positions.data(),
              .out = out.tensor()});
  return out.bits();
}

TEST(AttentionBits, OfAnyPrefillAndOfDecodeEqualTrainings) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const cpu::Isa isa : cpu::available_isas()) {
      const int length = isa == cpu::Isa::portable ? 90 : 280;
      for (const int window : {0, 70}) {
        AttentionCase c = test::make_case(shape_of(1, length, 4, 2, 32, 128), dtype);
        c.shape.window = window;
        ThreadPool pool(2);
        const auto ops = cpu::make_attention(pool, isa);
        const AttentionOutcome training = test::run_forward(c, *ops);
        const Cache cache(c, NAN, 0.0f);
        for (const int chunk : {1, 2, 5, 6, 7, 64, 100, length}) {
          SCOPED_TRACE(
              fmt::format("{} {} window {} chunk {}", cpu::name_of(isa), name_of(dtype), window, chunk));
          for (int first = 0; first < length; first += chunk) {
            const int count = std::min(chunk, length - first);
            ASSERT_EQ(attend(c, cache, *ops, first, count), training.out.bits(first, count)) << first;
          }
        }
      }
    }
  }
}

TEST(AttentionBits, OfCachedRowsIgnoreOtherSlotsAndLaterKeys) {
  const AttentionCase c = test::make_case(shape_of(1, 100, 2, 1, 16), DType::bf16);
  ThreadPool pool(1);
  const auto ops = cpu::make_attention(pool, cpu::available_isas().back());
  const Cache clean(c, 0.0f, 0.0f);
  const Cache dirty(c, NAN, NAN);
  EXPECT_EQ(attend(c, clean, *ops, 0, 100), attend(c, dirty, *ops, 0, 100));
  EXPECT_EQ(attend(c, clean, *ops, 41, 3), attend(c, dirty, *ops, 41, 3));
}

TEST(AttentionBits, OfRowsOfManySlotsEqualEachAlone) {
  const AttentionCase c = test::make_case(shape_of(1, 100, 2, 2, 16), DType::bf16);
  ThreadPool pool(2);
  const auto ops = cpu::make_attention(pool, cpu::available_isas().back());
  Cache cache(c, 0.0f, 0.0f);
  std::mt19937 random(3);
  cache.k.randomize(random, 1.0f);
  cache.v.randomize(random, 1.0f);
  const std::vector<std::int32_t> slots = {2, 0, 0, 1, 2, 2, 1, 0};
  const std::vector<std::int32_t> positions = {5, 70, 71, 0, 99, 100, 64, 63};
  const auto run = [&](int first, int count) {
    Buffer out(c.dtype, count, c.q.columns());
    ops->cached({.shape = c.shape,
                 .rows = count,
                 .q = c.q.tensor().row_slice(first, count),
                 .k_cache = cache.view(cache.k),
                 .v_cache = cache.view(cache.v),
                 .slot = slots.data() + first,
                 .position = positions.data() + first,
                 .out = out.tensor()});
    return out;
  };
  const Buffer together = run(0, 8);
  for (int r = 0; r < 8; ++r) EXPECT_EQ(run(r, 1).bits(), together.bits(r, 1));
}

}  // namespace
}  // namespace megalith
