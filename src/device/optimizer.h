// What the optimizer asks of a device: gradients are fixed-point sums, the divisor is applied here and
// nowhere else.
#pragma once

#include <cstdint>

#include "core/fixed_point.h"
#include "core/tensor.h"
#include "device/cost.h"

namespace megalith {

// The gradient element g = float(double(q) * (2^-shift / divisor)): mean over the loss tokens of the global
// batch. Of a sum q in f32 it is q * float(1 / divisor), one product in fp32.
struct GradientScale {
  int shift = 0;
  std::int64_t divisor = 1;  // loss tokens, at least 1
};

// The sum of all elements' g squared. It does not depend on how a tensor in i64 is cut; one in f32 is summed
// in fp64 by chunks of 1,024 elements from its first on, each in sixteen lanes joined pairwise, rounded once.
struct SquaredNorm {
  Tensor gradient;  // i64 or f32, dense
  GradientScale scale;
};

// AdamW (Loshchilov and Hutter, arXiv 1711.05101), element-wise; each line one explicit fma or product:
//   g = g * clip;  m = fma(beta1, m, (1-beta1) g);  v = fma(beta2, v, ((1-beta2) g) g)
//   u = (m * bias_correction1) / (sqrt(v * bias_correction2) + epsilon)
//   w = fma(-rate, fma(decay, w, u), w)
// with bias_correction = 1 / (1 - beta^step), computed in fp64 by multiplication and rounded once.
struct AdamUpdate {
  Tensor gradient;  // i64 or f32 [n]
  Tensor master;    // f32 [n]
  Tensor m, v;      // f32 [n]
  Tensor working;   // dt [n], written as the rounded master; or empty
  GradientScale scale;
  float clip = 1, rate = 0, beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f, decay = 0;
  float bias_correction1 = 1, bias_correction2 = 1;
};

struct Cast {
  Tensor from, to;  // f32 -> bf16 or f32, dense, equal counts
};

class OptimizerOps {
 public:
  virtual ~OptimizerOps() = default;
  virtual SquareSum squared_norm(const SquaredNorm&) = 0;
  virtual void update(const AdamUpdate&) = 0;
  virtual void cast(const Cast&) = 0;
  // Sum mod 2^64 of element_digest(first_index + r * index_stride + c, bits) over the rows and columns of a
  // dense or strided f32 tensor.
  virtual std::uint64_t digest(const Tensor& values, std::uint64_t first_index,
                               std::int64_t index_stride) = 0;
  // Of a tensor whose elements are numbered one after another.
  std::uint64_t digest(const Tensor& values, std::uint64_t first_index) {
    return digest(values, first_index, values.columns());
  }
  virtual void zero(const Tensor& tensor) = 0;
  // True when every element of a dense or strided bf16/f32 tensor is finite; used to name the first bad
  // tensor.
  virtual bool all_finite(const Tensor& tensor) = 0;
};

Cost cost_of(const SquaredNorm&);
Cost cost_of(const AdamUpdate&);
Cost cost_of(const Cast&);
Cost cost_of_digest(const Tensor& values);
Cost cost_of_zero(const Tensor& tensor);
Cost cost_of_finite_check(const Tensor& tensor);

}  // namespace megalith
