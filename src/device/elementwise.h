// Row- and element-wise operations: norms, activations, residuals, dropout, embedding, casts.
//
// M tokens, H features. "dt" is the compute dtype, bf16 or f32. Everything is computed in fp32 and rounded
// once when stored. Row sums use sixteen lanes: lane i adds elements i, i + 16, i + 32, ... in ascending
// order (a short end counts as +0), then sum_of_lanes of device/cpu/simd joins the lanes.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "device/cost.h"
#include "device/matmul.h"
#include "device/random.h"

namespace megalith {

// y = (x - mean) * rstd * gain + bias. Two passes: mean = sum / H, variance = sum (x - mean)^2 / H,
// rstd = 1 / sqrt(variance + epsilon) by sqrt and division.
struct LayerNormForward {
  Tensor x;           // dt [M, H]
  Tensor gain, bias;  // f32 [H]; bias may be empty
  float epsilon = 1e-5f;
  Tensor y;           // dt [M, H]
  Tensor mean, rstd;  // f32 [M]
};

// dx = round(residual_gradient + norm backward), where with n = (x - mean) * rstd and g = dy * gain:
// norm backward = rstd * (g - sum(g) / H - n * sum(g n) / H).
// dgain += fixed_point(dy n), dbias += fixed_point(dy) in blocks of 32 rows as BiasGradient.
struct LayerNormBackward {
  Tensor dy, x;              // dt [M, H]
  Tensor mean, rstd;         // f32 [M]
  Tensor gain;               // f32 [H]
  Tensor residual_gradient;  // dt [M, H], or empty
  Tensor dx;                 // dt [M, H]; may be residual_gradient itself
  Tensor dgain, dbias;       // i64 [H]; dbias may be empty
  int shift = 0;
  Verdict* verdict = nullptr;
};

enum class Activation : std::uint8_t { gelu_tanh, gelu_erf };

// y = act(x). gelu_tanh(x) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3), the same function as
// x (1 + tanh u) / 2 without its cancellation (Hendrycks and Gimpel, arXiv 1606.08415).
struct ActivationForward {
  Activation activation = Activation::gelu_tanh;
  Tensor x, y;  // dt [M, H]
};

// dx = dy * act'(x).
struct ActivationBackward {
  Activation activation = Activation::gelu_tanh;
  Tensor x;   // dt [M, H], the stored pre-activation
  Tensor dy;  // f32 or dt [M, H]
  Tensor dx;  // dt [M, H]
};

// y = residual + dropout(x + bias), one rounding.
struct BiasDropoutResidual {
  Tensor x;         // f32 [M, H]
  Tensor bias;      // f32 [H], or empty
  Tensor residual;  // dt [M, H]
  Tensor y;         // dt [M, H]; may be residual itself
  Dropout dropout;
};

// dx = dropout mask * scale * dy.
struct DropoutBackward {
  Tensor dy, dx;  // dt [M, H]
  Dropout dropout;
};

// y = dropout(token_table[ids] + position_table[positions]).
struct EmbeddingForward {
  const std::int32_t* ids = nullptr;        // [M], each < rows of token_table
  const std::int32_t* positions = nullptr;  // [M], each < rows of position_table
  Tensor token_table;                       // dt [V, H]
  Tensor position_table;                    // dt [P, H], or empty
  Tensor y;                                 // dt [M, H]
  Dropout dropout;
};

// Each token converts its row of dropout'(dy) to fixed point and adds it; the limit is 2^16 per contribution.
struct EmbeddingBackward {
  const std::int32_t* ids = nullptr;
  const std::int32_t* positions = nullptr;
  Tensor dy;                             // dt [M, H]
  Tensor dtoken_table, dposition_table;  // i64 [V, H], [P, H] or empty
  Dropout dropout;
  int shift = 0;
  Verdict* verdict = nullptr;
};

class ElementwiseOps {
 public:
  virtual ~ElementwiseOps() = default;
  virtual void forward(const LayerNormForward&) = 0;
  virtual void backward(const LayerNormBackward&) = 0;
  virtual void forward(const ActivationForward&) = 0;
  virtual void backward(const ActivationBackward&) = 0;
  virtual void forward(const BiasDropoutResidual&) = 0;
  virtual void backward(const DropoutBackward&) = 0;
  virtual void forward(const EmbeddingForward&) = 0;
  virtual void backward(const EmbeddingBackward&) = 0;
};

Cost cost_of(const LayerNormForward&);
Cost cost_of(const LayerNormBackward&);
Cost cost_of(const ActivationForward&);
Cost cost_of(const ActivationBackward&);
Cost cost_of(const BiasDropoutResidual&);
Cost cost_of(const DropoutBackward&);
Cost cost_of(const EmbeddingForward&);
Cost cost_of(const EmbeddingBackward&);

}  // namespace megalith
