// LayerNorm or RMSNorm over the features of a token as a layer: what it stashes and what it adds.
#pragma once

#include <string>
#include <vector>

#include "layers/parameters.h"
#include "layers/stash.h"
#include "layers/step_context.h"

namespace megalith {

struct NormShape {
  Norm norm = Norm::layer;
  std::int64_t hidden = 0;
  bool bias = true;
  float epsilon = 1e-5f;
  bool cut_tokens = false;  // sequence parallel: each tensor rank norms tokens of its own
};

class NormLayer {
 public:
  // "NAME.gain" and, where there is one, "NAME.bias".
  static void append_specs(const NormShape& shape, const std::string& name,
                           std::vector<ParameterSpec>& specs);

  NormLayer(const NormShape& shape, const std::string& name, const Parameters& parameters);

  // Stashes x, mean and 1 / deviation; the memory of x and y is the caller's.
  void forward(const StepContext& step, const Tensor& x, const Tensor& y, Stash& stash) const;
  // The same numbers without a stash, for inference.
  void forward(const StepContext& step, const Tensor& x, const Tensor& y) const;
  // dx = residual_gradient + gradient through the norm, rounded once. dx may be residual_gradient.
  void backward(const StepContext& step, const Tensor& dy, const Tensor& residual_gradient, const Tensor& dx,
                Stash& stash) const;

 private:
  void run(const StepContext& step, const Tensor& x, const Tensor& y, const Tensor& mean,
           const Tensor& rstd) const;
  NormShape shape_;
  const Parameter& gain_;
  const Parameter* bias_;
};

}  // namespace megalith
