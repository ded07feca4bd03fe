// Cross entropy over rows of fp32 logits (docs/numerics.md, rules L1-L3).
//
// The padded vocabulary is cut into `leaves` equal parts and each part into blocks of `vocab_block` (the last
// may be short). Columns at or past `vocabulary` are padding: -Inf by index, never read. Per block: m = max
// of the logits, s = sum exp(z - m), sixteen lanes over columns as in elementwise.h. Blocks of a leaf join in
// ascending order, leaves pairwise by tree, by one function: M = max(m1, m2); S = s1 exp(m1 - M) + s2 exp(m2
// - M). An all-padding block or leaf has (m, s) = (-Inf, 0) and joins without effect. log p(target) =
// (z[target] - M) - log S; loss = -log p.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "device/cost.h"
#include "device/matmul.h"

namespace megalith {

struct CrossEntropyShape {
  std::int64_t vocabulary = 0;  // V, logical
  int leaves = 1;               // of the columns given
  int vocab_block = 1024;
  float softcap = 0;  // of the logits (SoftCap), 0: none; backward goes through it
  float z_loss = 0;   // adds z_loss * (log sum exp)^2 to what is minimised (de Brebisson and Vincent, arXiv
                      // 1604.08859; PaLM 5), not to the loss that is reported
};

// logits = cap * tanh(logits / cap), in place, before the loss and before sampling (Gemma 2, arXiv
// 2408.00118).
struct SoftCap {
  Tensor logits;  // f32 [M, padded V]
  float cap = 0;
};

// Log-probability of each row's target, and what backward needs.
struct CrossEntropyForward {
  CrossEntropyShape shape;
  Tensor logits;                          // f32 [M, padded V]
  const std::int32_t* targets = nullptr;  // [M], each < V
  Tensor log_probability;                 // f32 [M]: of the target
  Tensor log_sum_exp;                     // f32 [M, 2]: (M, S) of the row
};

// The same in two halves, for logits that are cut by columns into R equal shares of whole leaves. First, of
// each share: the softmax state of its columns, and the target's logit where the target is one of them.
struct CrossEntropyPartial {
  CrossEntropyShape shape;                // leaves: of this share
  std::int64_t first_column = 0;          // of this share among the padded V
  Tensor logits;                          // f32 [M, padded V / R]
  const std::int32_t* targets = nullptr;  // [M], each < V
  Tensor partial;                         // f32 [M, 3]: (m, s, z[target]), z[target] 0 where it is elsewhere
};

// Then the states of all shares join by tree, and the target's logit is the one of the share that has it.
struct CrossEntropyJoin {
  std::int64_t share_columns = 0;         // padded V / R
  Tensor partials;                        // f32 [R, M, 3], dense
  const std::int32_t* targets = nullptr;  // [M]
  Tensor log_probability;                 // f32 [M]
  Tensor log_sum_exp;                     // f32 [M, 2]
};

// dlogits = (p f - 1[target]) (1 - (z / softcap)^2) where the mask is set, p = exp(z - M) / S, f = 1 + 2
// z_loss (M + log S), the last factor only with a softcap; rounded to dt; exact zero rows where
// it is not (selected, not multiplied) and in padding columns. May overwrite nothing of logits: dlogits is
// another tensor.
struct CrossEntropyBackward {
  CrossEntropyShape shape;
  std::int64_t first_column = 0;            // of these columns among the padded V
  Tensor logits;                            // f32 [M, padded V], or a share of its columns
  const std::int32_t* targets = nullptr;    // [M]
  const std::uint8_t* loss_mask = nullptr;  // [M], 0 or 1
  Tensor log_sum_exp;                       // f32 [M, 2]
  Tensor dlogits;                           // dt, as the logits
};

// sum += fixed_point(-log_probability, 2^-32) over rows whose mask is set. A loss of 2^20 or more, or NaN,
// declares the step bad. Returns through the two pointers.
struct LossSum {
  Tensor log_probability;                   // f32 [M]
  const std::uint8_t* loss_mask = nullptr;  // [M]
  std::int64_t* sum = nullptr;              // 2^-32 nats
  std::int64_t* count = nullptr;            // tokens
  Verdict* verdict = nullptr;
};

class LossOps {
 public:
  virtual ~LossOps() = default;
  virtual void cap(const SoftCap&) = 0;
  virtual void forward(const CrossEntropyForward&) = 0;
  virtual void partial(const CrossEntropyPartial&) = 0;
  virtual void join(const CrossEntropyJoin&) = 0;
  virtual void backward(const CrossEntropyBackward&) = 0;
  virtual void sum(const LossSum&) = 0;
};

Cost cost_of(const SoftCap&);
Cost cost_of(const CrossEntropyForward&);
Cost cost_of(const CrossEntropyPartial&);
Cost cost_of(const CrossEntropyJoin&);
Cost cost_of(const CrossEntropyBackward&);
Cost cost_of(const LossSum&);

}  // namespace megalith
