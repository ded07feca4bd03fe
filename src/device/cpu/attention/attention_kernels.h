// What the attention kernels of every family take: raw pointers into one document of one sequence, for one
// key/value head and the query heads that share it. Checks, threads and memory are attention.cpp's.
//
// Positions are relative to the document's first token unless said otherwise. A padded head size is rounded
// up to 16.
#pragma once

#include <cstddef>
#include <cstdint>

namespace megalith::cpu {

// Dropout of one sequence (device/random.h): what the kernels need to draw it in vectors.
struct DropoutStream {
  std::uint32_t key[2];
  std::uint32_t sample;  // first counter word
  std::uint32_t site;    // of the piece's first query head
  std::uint32_t threshold;
  float scale;  // of kept weights
};

struct AttentionGeometry {
  int head_size;
  int key_block;        // a multiple of 16
  int attention_split;  // a multiple of key_block
  int group;            // query heads of the key/value head
  float scale;
  std::int64_t window;  // keys a query sees, itself included

  // The first key that a query sees.
  [[nodiscard]] std::int64_t first_key(std::int64_t query) const {
    return query < window ? 0 : query - window + 1;
  }
  // The first query that sees no key of a block any more.
  [[nodiscard]] std::int64_t past_block(std::int64_t block) const {
    return window > kNoWindow - block - key_block ? kNoWindow : block + key_block + window - 1;
  }
  static constexpr std::int64_t kNoWindow = INT64_MAX;
};

// Rows are addressed as base + position * row (in elements); head h of the group is head_size columns further
// on.
struct ConstRows {
  const void* base;
  std::int64_t row;
};
struct Rows {
  void* base;
  std::int64_t row;
};

// Queries first .. first + count - 1 of one document.
struct ForwardPiece {
  AttentionGeometry geometry;
  ConstRows q;                    // at query `first`
  ConstRows k, v;                 // at key 0
  Rows out;                       // at query `first`
  float* log_sum_exp;             // at query `first` of the first head, or null
  std::int64_t log_sum_exp_head;  // distance between heads
  std::int64_t first, count;
  std::int64_t document;         // position of key 0 in the sequence, for dropout
  const DropoutStream* dropout;  // null: none
  float* scratch;                // forward_layout(...).floats
  // Keys and values that the same thread reads next: asked for while this piece's last block is computed.
  ConstRows next_k, next_v;  // at the first of them
  std::int64_t next_keys;    // 0: nothing is known
};

// dK, dV of key blocks first_block .. last_block - 1 from queries first .. first + count - 1, and dQ of those
// queries from those blocks. Each key block must be given all its queries if want_keys, each query all its
// blocks if want_queries.
struct BackwardPiece {
  AttentionGeometry geometry;
  ConstRows q, dout;         // at query `first`
  ConstRows k, v;            // at key 0
  Rows dq;                   // at query `first`
  Rows dk, dv;               // at key 0
  bool wide_keys;            // dk and dv are f32, whatever the operands are
  const float* log_sum_exp;  // at query `first` of the first head
  const float* row_dots;
  std::int64_t statistics_head;  // distance between heads of the two
  std::int64_t first, count;
  std::int64_t first_block, last_block;
  std::int64_t length;    // of the document
  std::int64_t document;  // position of key 0 in the sequence: pairs of queries go by it
  bool want_keys, want_queries;
  const DropoutStream* dropout;
  float* scratch;  // backward_layout(...).floats
};

// row_dots[i] = sum over D of dout * out, for `count` rows of one head.
struct RowDotsPiece {
  int head_size;
  ConstRows out, dout;
  float* row_dots;
  std::int64_t count;
};

struct AttentionKernels {
  void (*forward)(const ForwardPiece&);
  void (*backward)(const BackwardPiece&);
  void (*row_dots)(const RowDotsPiece&);
};

// One table per dtype of the operands.
struct AttentionFamily {
  AttentionKernels bf16, f32;
};
AttentionFamily attention_portable();
AttentionFamily attention_avx2();
AttentionFamily attention_avx512();
AttentionFamily attention_avx512_bf16();

// Rows of a tile of queries: no bit depends on them.
inline constexpr int kForwardTile = 12;
inline constexpr int kBackwardTile = 48;  // even, so that pairs of queries stay together

// Offsets in floats of the parts of a piece's scratch memory; each starts on a cache line.
struct ForwardLayout {
  std::size_t q, o, joined;                      // [group * count][padded]
  std::size_t max, sum, joined_max, joined_sum;  // [group * count]
  std::size_t keys, values, weights, factors;    // [head size][block], [block][padded], [tile][block] twice
  std::size_t draws;                             // draws_per_row() words per row of a tile
  std::size_t floats;
};
struct BackwardLayout {
  std::size_t q, dout, dq;                       // [group][count + 2][padded]
  std::size_t keys, values;                      // [head size][block]: lanes along keys
  std::size_t key_rows;                          // [block][padded]
  std::size_t weights, gradients;                // [tile][block]: P and dS
  std::size_t paired_weights, paired_gradients;  // [tile / 2][block], of pairs of queries
  std::size_t dk, dv;                            // [group][block][padded]
  std::size_t factors, draws;                    // as in forward
  std::size_t floats;
};

static inline std::size_t padded_to_lanes(std::int64_t n) {
  return static_cast<std::size_t>((n + 15) / 16 * 16);
}

// Random words for the blocks of 8 positions that a key block touches, wherever it starts.
static inline std::size_t draws_per_row(int key_block) {
  return (static_cast<std::size_t>(key_block) / 8 + 1) * 4;
}

static inline std::size_t take(std::size_t* used, std::size_t count) {
  const std::size_t offset = *used;
  *used += (count + 15) / 16 * 16;
  return offset;
}

static inline ForwardLayout forward_layout(const AttentionGeometry& g, std::int64_t count) {
  const std::size_t rows = static_cast<std::size_t>(g.group) * static_cast<std::size_t>(count);
  const std::size_t padded = padded_to_lanes(g.head_size);
  const std::size_t block = static_cast<std::size_t>(g.key_block);
  ForwardLayout l{};
  std::size_t used = 0;
  l.q = take(&used, rows * padded);
  l.o = take(&used, rows * padded);
  l.joined = take(&used, rows * padded);
  l.max = take(&used, rows);
  l.sum = take(&used, rows);
  l.joined_max = take(&used, rows);
  l.joined_sum = take(&used, rows);
  l.keys = take(&used, static_cast<std::size_t>(g.head_size) * block);
  l.values = take(&used, block * padded);
  l.weights = take(&used, kForwardTile * block);
  l.factors = take(&used, kForwardTile * block);
  l.draws = take(&used, kForwardTile * draws_per_row(g.key_block) + 64);
  l.floats = used;
  return l;
}

static inline BackwardLayout backward_layout(const AttentionGeometry& g, std::int64_t count) {
  const std::size_t group = static_cast<std::size_t>(g.group);
  const std::size_t padded = padded_to_lanes(g.head_size);
  const std::size_t rows = group * (static_cast<std::size_t>(count) + 2) * padded;
  const std::size_t block = static_cast<std::size_t>(g.key_block);
  BackwardLayout l{};
  std::size_t used = 0;
  l.q = take(&used, rows);
  l.dout = take(&used, rows);
  l.dq = take(&used, rows);
  l.keys = take(&used, static_cast<std::size_t>(g.head_size) * block);
  l.values = take(&used, static_cast<std::size_t>(g.head_size) * block);
  l.key_rows = take(&used, block * padded);
  l.weights = take(&used, kBackwardTile * block);
  l.gradients = take(&used, kBackwardTile * block);
  l.paired_weights = take(&used, kBackwardTile / 2 * block);
  l.paired_gradients = take(&used, kBackwardTile / 2 * block);
  l.dk = take(&used, group * block * padded);
  l.dv = take(&used, group * block * padded);
  l.factors = take(&used, kBackwardTile * block);
  l.draws = take(&used, kBackwardTile * draws_per_row(g.key_block) + 64);
  l.floats = used;
  return l;
}

}  // namespace megalith::cpu
