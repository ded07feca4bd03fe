// Causal attention with document masks (docs/numerics.md, rules A1-A8).
//
// B sequences of S tokens, N query heads, G key/value heads (G divides N), D head size. Token t of sequence b is row
// b * S + t. A query sees the keys from its document's first token to itself.
//
// Keys are taken in blocks of `key_block`, counted from the document's first token. Per query row and block:
//   s_j = (chain over D of q k_j) * scale, masked keys -Inf;     m' = max(m, max_j s_j);   alpha = exp(m - m')
//   p_j = exp(s_j - m'), masked keys exactly 0;   l = l * alpha + sum of p in lane order (sixteen lanes over j, block
//   columns 16 apart added in ascending order, then sum_of_lanes);   o = o * alpha, continued as a chain over the block's
//   keys of round(p_j) v_j (bf16: pairs, high element first).
// Every `attention_split` keys start fresh (m = -Inf, l = 0, o = 0); splits are joined in ascending order. The result
// is o / l, rounded to the operands' dtype, -0 made +0; the log-sum-exp m + log l is kept in f32. A row's bits depend
// on nothing but its own query and its document's keys up to it: training, prefill and decode agree.
// Dropout acts on p after the sum l: dropped weights are set to 0, kept ones scaled, then rounded.
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
  int key_block = 64;
  int attention_split = 1024;
};

struct AttentionForward {
  AttentionShape shape;
  Tensor q, k, v;                             // [B*S, N*D], [B*S, G*D], [B*S, G*D]; may be column slices of one tensor
  const std::int32_t* document_start = nullptr;  // [B*S]: position in its sequence of the token's document's first token
  Tensor out;                                 // [B*S, N*D]
  Tensor log_sum_exp;                         // f32 [N, B*S]
  Dropout dropout;
};

// Attention dropout draws by (sample, site + head, query position, key position / 8), element key position % 8, all
// positions within the sequence.

struct AttentionBackward {
  AttentionShape shape;
  Tensor q, k, v, out, dout, log_sum_exp;
  const std::int32_t* document_start = nullptr;
  Tensor dq, dk, dv;  // as q, k, v; rounded once
  Tensor row_dots;    // f32 [N, B*S] workspace: sum over D of dout * out
  Dropout dropout;
};

// Queries against a cache, for prefill and decode. Row r is one query at position `position[r]` of the document in cache
// slot `slot[r]`, whose keys 0 .. position[r] are in the cache.
struct CachedAttention {
  AttentionShape shape;             // sequences and sequence are not read
  std::int64_t rows = 0;
  Tensor q;                         // [rows, N*D]
  Tensor k_cache, v_cache;          // [slots, capacity, G*D]
  const std::int32_t* slot = nullptr;      // [rows]
  const std::int32_t* position = nullptr;  // [rows]
  Tensor out;                       // [rows, N*D]
};

// Writes keys and values of new rows to their place in the cache, before cached() reads them.
struct CacheAppend {
  std::int64_t rows = 0;
  Tensor k, v;              // [rows, G*D]
  Tensor k_cache, v_cache;  // [slots, capacity, G*D]
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

Cost cost_of(const AttentionForward&);
Cost cost_of(const AttentionBackward&);

}  // namespace megalith
