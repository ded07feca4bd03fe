// Row- and element-wise operations: norms, activations, residuals, dropout, embedding, casts.
//
// M tokens, H features. "dt" is the compute dtype, bf16 or f32. Everything is computed in fp32 and rounded
// once when stored. Row sums use sixteen lanes: lane i adds elements i, i + 16, i + 32, ... in ascending
// order (a short end counts as +0), then sum_of_lanes of device/cpu/simd joins the lanes.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "device/activation.h"
#include "device/cost.h"
#include "device/matmul.h"
#include "device/random.h"

namespace megalith {

enum class Norm : std::uint8_t { layer, rms };

// y = (x - mean) * rstd * gain + bias, rstd = 1 / sqrt(variance + epsilon) by sqrt and division.
//   layer: two passes: mean = sum / H, variance = sum (x - mean)^2 / H (Ba, Kiros and Hinton, arXiv
//   1607.06450) rms:   mean = 0, variance = sum x^2 / H (Zhang and Sennrich, arXiv 1910.07467)
struct NormForward {
  Norm norm = Norm::layer;
  Tensor x;           // dt [M, H]
  Tensor gain, bias;  // f32 [H]; bias may be empty
  float epsilon = 1e-5f;
  Tensor y;           // dt [M, H]
  Tensor mean, rstd;  // f32 [M]
};

// dx = round(residual_gradient + norm backward), where with n = (x - mean) * rstd and g = dy * gain:
// norm backward = rstd * (g - sum(g) / H - n * sum(g n) / H); rms: without sum(g).
// dgain += fixed_point(dy n), dbias += fixed_point(dy) in blocks of 32 rows as BiasGradient.
struct NormBackward {
  Norm norm = Norm::layer;
  Tensor dy, x;              // dt [M, H]
  Tensor mean, rstd;         // f32 [M]
  Tensor gain;               // f32 [H]
  Tensor residual_gradient;  // dt [M, H], or empty
  Tensor dx;                 // dt [M, H]; may be residual_gradient itself
  Tensor dgain, dbias;       // i64 [H]; dbias may be empty
  int shift = 0;
  Verdict* verdict = nullptr;
};

struct ActivationForward {
  Activation activation = Activation::gelu_tanh;
  Tensor x;  // dt [M, F], gated [M, 2 F]
  Tensor y;  // dt [M, F]
};

// dx = dy * act'(x); gated: [dy * up * act'(gate), dy * act(gate)].
struct ActivationBackward {
  Activation activation = Activation::gelu_tanh;
  Tensor x;   // as in forward
  Tensor dy;  // f32 or dt [M, F]
  Tensor dx;  // dt, as x; may be x itself
};

// Rotary positions (Su et al., arXiv 2104.09864) of the first R of D features of each head, after an RMS norm
// of the head where there is a gain (Henry et al., arXiv 2010.04245). With the position's row of the table,
// R/2 cosines c and then R/2 sines s, for i < R/2:
//   y[i] = x[i] c[i] - x[i + R/2] s[i],   y[i + R/2] = x[i + R/2] c[i] + x[i] s[i]
// each a product and an fma; features from R on pass. Everything in fp32 from the stored x, rounded once.
struct HeadRotation {
  int head_size = 0;                        // D
  Tensor gain;                              // f32 [D], or empty: no norm
  float epsilon = 1e-6f;                    // of the norm
  Tensor table;                             // f32 [P, R], or empty: no rotation
  const std::int32_t* positions = nullptr;  // [M], each < P
};
struct HeadRotationForward {
  HeadRotation rotation;
  Tensor x;     // dt [M, heads * D]
  Tensor y;     // dt, as x; may be x itself
  Tensor rstd;  // f32 [M, heads] where there is a norm, else empty
};

// dx: the rotation back, then through the norm. dgain += fixed_point(dy' n) per head in blocks of 32 rows.
struct HeadRotationBackward {
  HeadRotation rotation;
  Tensor dy;     // dt [M, heads * D]
  Tensor x;      // of forward, before the norm; not read without one
  Tensor rstd;   // of forward
  Tensor dx;     // dt; may be dy itself
  Tensor dgain;  // i64 [D], or empty
  int shift = 0;
  Verdict* verdict = nullptr;
};

// y = residual + dropout(x + (bias + second_bias)), one rounding.
struct BiasDropoutResidual {
  Tensor x;                 // f32 [M, H]
  Tensor bias;              // f32 [H], or empty
  Tensor second_bias = {};  // f32 [H], or empty: added to the first before x
  Tensor residual;          // dt [M, H]
  Tensor y;                 // dt [M, H]; may be residual itself
  Dropout dropout;
};

// dx = dropout mask * scale * dy; dx = dy where dropout is off.
struct DropoutBackward {
  Tensor dy, dx;  // dt [M, H]
  Dropout dropout;
};

// y = dropout(token_table[ids] + position_table[positions]).
struct EmbeddingForward {
  const std::int32_t* ids = nullptr;        // [M], each < rows of token_table; null: token t is row t
  const std::int32_t* positions = nullptr;  // [M], each < rows of position_table
  Tensor token_table;                       // dt [V, H]
  Tensor position_table;                    // dt [P, H], or empty
  Tensor y;                                 // dt [M, H]
  Dropout dropout;
};

// Each token converts its row of dropout'(dy) to fixed point and adds it; the limit is 2^16 per contribution.
// Tokens whose row is not among those of dtoken_table add to the position table alone. Tables in f32 take
// the rows as they are, in the order of the tokens; the limit is that of WeightGradientProduct.
struct EmbeddingBackward {
  const std::int32_t* ids = nullptr;
  const std::int32_t* positions = nullptr;
  Tensor dy;                             // dt [M, H]
  Tensor dtoken_table, dposition_table;  // both i64 or f32: [V, H] or some of its rows, [P, H] or empty
  Dropout dropout;
  int shift = 0;
  Verdict* verdict = nullptr;
  std::int64_t first_row = 0;  // of dtoken_table among the V
};

class ElementwiseOps {
 public:
  virtual ~ElementwiseOps() = default;
  virtual void forward(const NormForward&) = 0;
  virtual void backward(const NormBackward&) = 0;
  virtual void forward(const ActivationForward&) = 0;
  virtual void backward(const ActivationBackward&) = 0;
  virtual void forward(const HeadRotationForward&) = 0;
  virtual void backward(const HeadRotationBackward&) = 0;
  virtual void forward(const BiasDropoutResidual&) = 0;
  virtual void backward(const DropoutBackward&) = 0;
  virtual void forward(const EmbeddingForward&) = 0;
  virtual void backward(const EmbeddingBackward&) = 0;
};

Cost cost_of(const NormForward&);
Cost cost_of(const NormBackward&);
Cost cost_of(const ActivationForward&);
Cost cost_of(const ActivationBackward&);
Cost cost_of(const HeadRotationForward&);
Cost cost_of(const HeadRotationBackward&);
Cost cost_of(const BiasDropoutResidual&);
Cost cost_of(const DropoutBackward&);
Cost cost_of(const EmbeddingForward&);
Cost cost_of(const EmbeddingBackward&);

}  // namespace megalith
