// Layer normalisation (Ba, Kiros and Hinton, arXiv 1607.06450) as a layer: what it stashes and what it adds.
#pragma once

#include "layers/parameters.h"
#include "layers/stash.h"
#include "layers/step_context.h"

namespace megalith {

class LayerNorm {
 public:
  LayerNorm(const Parameter& gain, const Parameter* bias, float epsilon)
      : gain_(gain), bias_(bias), epsilon_(epsilon) {}

  // Stashes x, mean and 1 / standard deviation; the memory of x and y is the caller's.
  void forward(const StepContext& step, const Tensor& x, const Tensor& y, Stash& stash) const;
  // The same numbers without a stash, for inference.
  void forward(const StepContext& step, const Tensor& x, const Tensor& y) const;
  // dx = residual_gradient + gradient through the norm, rounded once. dx may be residual_gradient.
  void backward(const StepContext& step, const Tensor& dy, const Tensor& residual_gradient, const Tensor& dx,
                Stash& stash) const;

 private:
  void run(const StepContext& step, const Tensor& x, const Tensor& y, const Tensor& mean,
           const Tensor& rstd) const;
  const Parameter& gain_;
  const Parameter* bias_;
  float epsilon_;
};

}  // namespace megalith
