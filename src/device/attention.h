// Causal attention with document masks (docs/numerics.md, rules A1-A8).
//
// B sequences of S tokens, N query heads, G key/value heads (G divides N), D head size. Token t of sequence b
// is row b * S + t. A query sees the keys from its document's first token to itself or, with a window W, the
// last W of them, itself included.
//
// Keys are taken in blocks of `key_block`, counted from the document's first token; a key of a block that the
// query does not see (later than it, before its window, or after the document's end) is masked. Per query row
// and block with a visible key:
//   s_j = (chain over D of q k_j) * scale
//   m' = max(m, largest visible s_j), alpha = exp(m - m')
//   p_j = exp(s_j - m'), masked keys exactly 0
//   l = l * alpha + sum of p: a product, then an addition
//   o = o * alpha, continued as a chain over the block's keys of round(p_j) v_j
// A chain starts at +0 and takes one fma per term; in bf16 its terms come in pairs (2p, 2p + 1), the high one
// first. The sum of p has sixteen lanes over j: columns 16 apart are added in ascending order, then
// sum_of_lanes. round() is to the operands' dtype.
//
// Every `attention_split` keys start fresh (m = -Inf, l = 0, o = 0). The first split with a visible key is
// taken as it is; each later one joins what came before it: M = max(m1, m2), a1 = exp(m1 - M), a2 = exp(m2 -
// M), l = l1 * a1 + l2
// * a2 and o alike, two products and an addition. The result is o / l, rounded to the operands' dtype, -0
// made +0; the log-sum-exp m + log l is kept in f32. A row's bits depend on nothing but its own query and its
// document's keys up to it: training, prefill and decode agree.
//
// Dropout acts on p after the sum l: dropped weights are set to 0, kept ones scaled, then rounded. It draws
// by (sample, site + head, query position, key position / 8), element key position % 8, all positions within
// the sequence.
//
// Backward, per visible pair, from what forward stored: p = exp(s - log_sum_exp); g = chain over D of dout v,
// under dropout 0 where p was dropped and scaled where kept; ds = (p * (g - row_dot)) * scale with row_dot =
// sum over D of dout * out (sixteen lanes, one fma per 16 elements, sum_of_lanes). Then, with p (dropped) and
// ds rounded:
//   dq = one chain over the document's keys of ds k, ascending, through all blocks and splits;
//   dk, dv = per query head one chain over the queries of ds q and p dout, ascending; pairs are pairs of
//   positions in the sequence.
// The query heads of a group are leaves joined ((0+1)+(2+3))+...; where their number is no power of two,
// there are as many leaves as the largest power of two that divides it, and a leaf adds its heads in order.
// Ranks that share a group's heads evenly, each with some of its leaves, give dk and dv in f32; their tree
// sum, rounded, is what one rank writes. In bf16 dk and dv of a packed document therefore equal those of the
// document alone at even offsets only.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "device/cost.h"
#include "device/random.h"

namespace megalith {

struct AttentionShape {
  std::int64_t sequences = 0;  // B
  std::int64_t sequence = 0;   // S
  int heads = 0;               // N
  int kv_heads = 0;            // G
  int head_size = 0;           // D, a multiple of 2 up to 256
  float scale = 0;             // 1 / sqrt(D) as a rule
  int key_block = 64;          // a multiple of 16
  int attention_split = 1024;  // a multiple of key_block
  std::int64_t window = 0;     // keys a query sees, itself included; 0: all of its document so far
};

struct AttentionForward {
  AttentionShape shape;
  Tensor q, k, v;  // [B*S, N*D], [B*S, G*D], [B*S, G*D]; may be column slices of one tensor
  // [B*S]: position in its sequence of the first token of the token's document. Null: each sequence is one
  // document.
  const std::int32_t* document_start = nullptr;
  Tensor out;          // [B*S, N*D]
  Tensor log_sum_exp;  // f32 [N, B*S]
  Dropout dropout;
};

struct AttentionBackward {
  AttentionShape shape;
  Tensor q, k, v, out, dout, log_sum_exp;
  const std::int32_t* document_start = nullptr;
  Tensor dq, dk,
      dv;           // as q, k, v, rounded once; dk and dv also f32, where they are shares of a sum over heads
  Tensor row_dots;  // f32 [N, B*S] workspace: sum over D of dout * out
  Dropout dropout;
};

// Queries against a cache, for prefill and decode. Row r is one query at position `position[r]` of the
// document in cache slot `slot[r]`, whose keys 0 .. position[r] are in the cache; later ones are not read.
// Rows of one slot with consecutive positions are best left together: they share the work on the keys.
struct CachedAttention {
  AttentionShape shape;  // sequences and sequence are not read
  std::int64_t rows = 0;
  Tensor q;                                // [rows, N*D]
  Tensor k_cache, v_cache;                 // [slots, G, capacity, D]: a head's keys lie together
  const std::int32_t* slot = nullptr;      // [rows]
  const std::int32_t* position = nullptr;  // [rows]
  Tensor out;                              // [rows, N*D]
};

// Writes keys and values of new rows to their place in the cache, before cached() reads them.
struct CacheAppend {
  std::int64_t rows = 0;
  Tensor k, v;                             // [rows, G*D]
  Tensor k_cache, v_cache;                 // [slots, G, capacity, D]: a head's keys lie together
  const std::int32_t* slot = nullptr;      // [rows]
  const std::int32_t* position = nullptr;  // [rows], below capacity
};

class AttentionOps {
 public:
  virtual ~AttentionOps() = default;
  virtual void forward(const AttentionForward&) = 0;
  virtual void backward(const AttentionBackward&) = 0;
  virtual void cached(const CachedAttention&) = 0;
  virtual void append(const CacheAppend&) = 0;
};

// Visible pairs only: two products forward, five backward. Reads document_start.
Cost cost_of(const AttentionForward&);
Cost cost_of(const AttentionBackward&);
// Visible keys and values are read once per run of rows of one slot with ascending positions. Reads slot and
// position; where they are null, as when memory is measured, all rows see the whole capacity of one slot.
Cost cost_of(const CachedAttention&);
Cost cost_of(const CacheAppend&);

}  // namespace megalith
