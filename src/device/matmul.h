// Matrix products in exact order (docs/numerics.md, rules P1-P8, S1-S3).
//
// M tokens (rows), N output features, K input features. A weight is stored [N, K], row-major.
// Operands are bf16 or f32, all of one dtype; sums are fp32.
//
// One output element is one chain of fma over the summed dimension, starting at +0. In bf16 the dimension is
// taken in pairs (2p, 2p+1), the high element first; an odd end is padded with zero. With leaves > 1 the
// dimension is cut into `leaves` equal parts, each a chain of its own, joined ((0+1)+(2+3))+... in fp32.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/tensor.h"
#include "device/cost.h"

namespace megalith {

// How the summed dimension of a product is ordered.
struct SumOrder {
  int leaves = 1;  // a power of two
  // A dimension made of fused members (Q, K and V outputs, say): leaf f is part f of each member, in member
  // order. Zero entries are unused; one member is the plain case. Sizes add up to the dimension; each divides
  // by leaves.
  std::array<std::int64_t, 3> members{};
};

// Set by operations whose results leave the promised range or are not finite; read once per step. Order-free.
class Verdict {
 public:
  void declare_bad() { bad_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool bad() const { return bad_.load(std::memory_order_relaxed); }
  void clear() { bad_.store(false, std::memory_order_relaxed); }

 private:
  std::atomic<bool> bad_{false};
};

// What a weight is packed as. q8_0 is not the same product: terms of a chain are taken in blocks of 32, and
// of x and w each block is rounded to integers in [-127, 127] with one scale in bf16; its exact integer sum
// is a link of the chain (docs/numerics.md, "Int8 weights"). A leaf's last block is padded with zeros.
enum class WeightFormat : std::uint8_t { as_stored, q8_0 };

// y = x w^T (+ bias). The chain runs over K.
struct ForwardProduct {
  Tensor x;     // [M, K]
  Tensor w;     // [N, K]
  Tensor bias;  // f32 [N], or empty: added in fp32 after the tree
  Tensor y;     // [M, N]: f32, or the operands' dtype (rounded once, at the end)
  SumOrder order;
  const void* packed = nullptr;  // what pack() made of w in this order: read instead of w, same bits
  WeightFormat packed_as = WeightFormat::as_stored;
};

// Rows of a weight that stands elsewhere than in memory, or not as a product reads it. Called from several
// threads, in any order.
class WeightRowSource {
 public:
  virtual ~WeightRowSource() = default;
  // to = rows [first, first + to.rows()).
  virtual void read(std::int64_t first, const Tensor& to) const = 0;
  // Rows [first, first + count) are not read again.
  virtual void done(std::int64_t first, std::int64_t count) const = 0;
};

// w in the order in which this device's forward product reads it: worth its memory where many products read
// one unchanged weight, as in generation.
struct WeightPacking {
  Tensor w;  // [N, K]
  SumOrder order;
  WeightFormat format = WeightFormat::as_stored;
  void* packed = nullptr;                 // packed_bytes(w, order, format), 64-byte aligned
  const WeightRowSource* rows = nullptr;  // where w's rows come from, each once; w is a shape then
};

// dx = dy w. The chain runs over N.
struct InputGradientProduct {
  Tensor dy;  // [M, N]
  Tensor w;   // [N, K]
  Tensor dx;  // [M, K]: f32, or the operands' dtype
  SumOrder order;
};

// dw += fixed_point(dy^T x), grain by grain: the tokens of one grain are one chain, rounded once to a 64-bit
// integer of 2^-shift, then added. A contribution of at least grain * 2^16 in magnitude, Inf or NaN declares
// the step bad.
//
// Where dw is f32 there are no grains: each element's chain goes on over the tokens of this call from where
// it stands, dw = chain(dw, dy^T x). A sum of 2^(62 - shift) or more in magnitude, Inf or NaN declares the
// step bad.
struct WeightGradientProduct {
  Tensor dy;               // [M, N]; M is a multiple of grain
  Tensor x;                // [M, K]
  Tensor dw;               // i64 or f32 [N, K]
  std::int64_t grain = 0;  // tokens
  int shift = 0;           // binary places
  Verdict* verdict = nullptr;
};

// db += fixed_point(column sums of dy) in blocks of 32 consecutive rows: a block's rows are added in
// ascending order in fp32 from +0, then rounded to fixed point. The limit is block rows * 2^16.
struct BiasGradient {
  Tensor dy;  // [M, N], bf16 or f32
  Tensor db;  // i64 [N]
  int shift = 0;
  Verdict* verdict = nullptr;
};

// Rows of a weight back out of its packed form: to[i] = w[rows[i]], bit by bit where it is packed as stored;
// of q8_0 integer times scale, rounded once.
struct WeightRows {
  Tensor w;  // [N, K]: shape and dtype only
  SumOrder order;
  WeightFormat format = WeightFormat::as_stored;
  const void* packed = nullptr;
  const std::int32_t* rows = nullptr;  // [n], each < N
  Tensor to;                           // [n, K], the weight's dtype
};

class MatmulOps {
 public:
  virtual ~MatmulOps() = default;
  virtual void forward(const ForwardProduct&) = 0;
  virtual void input_gradient(const InputGradientProduct&) = 0;
  virtual void weight_gradient(const WeightGradientProduct&) = 0;
  virtual void bias_gradient(const BiasGradient&) = 0;
  // 0: this device reads weights as they are, and pack() is not called.
  virtual std::size_t packed_bytes(const Tensor& w, const SumOrder& order, WeightFormat format) {
    static_cast<void>(w);
    static_cast<void>(order);
    static_cast<void>(format);
    return 0;
  }
  virtual void pack(const WeightPacking& packing) { static_cast<void>(packing); }
  virtual void unpack(const WeightRows& rows) { static_cast<void>(rows); }
};

Cost cost_of(const ForwardProduct&);
Cost cost_of(const InputGradientProduct&);
Cost cost_of(const WeightGradientProduct&);
Cost cost_of(const BiasGradient&);

}  // namespace megalith
