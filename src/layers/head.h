// The end of the model: final norm, product with the vocabulary, cross entropy. Logits exist for one chunk of
// tokens at a time, never for the whole micro batch.
#pragma once

#include <vector>

#include "layers/linear.h"
#include "layers/norm_layer.h"
#include "layers/parameters.h"
#include "layers/stash.h"
#include "layers/step_context.h"

namespace megalith {

struct HeadShape {
  std::int64_t vocabulary = 0;
  std::int64_t padded_vocabulary = 0;
  std::int64_t hidden = 0;
  bool tied = true;  // the output weight is the token table
  NormShape norm;
  float softcap = 0;  // of the logits; 0: none
  double init_deviation = 0.02;
  TensorPlace tensor = {};  // of the rank, which has a share of the vocabulary
};

// Sums of one micro batch; integers, so they add up in any order.
struct LossTotals {
  std::int64_t loss = 0;    // nats in 2^-32
  std::int64_t tokens = 0;  // that count
};

class Head {
 public:
  static std::vector<ParameterSpec> specs(const HeadShape& shape);

  Head(const HeadShape& shape, const Parameters& parameters);

  // Loss of the micro batch and the gradient of x [M, H], or of this rank's tokens of it, written to dx; adds
  // to the parameters' gradients. Every tensor rank adds the whole loss to its totals. Leaves the stash as it
  // was.
  void forward_backward(const StepContext& step, const Tensor& x, const Tensor& dx, Stash& stash,
                        LossTotals& totals) const;
  // log_probability f32 [M] of each target, without gradients.
  void evaluate(const StepContext& step, const Tensor& x, const Tensor& log_probability) const;
  // Logits f32 [rows, padded vocabulary] of rows x [rows, H]: for sampling.
  void logits(const StepContext& step, const Tensor& x, const Tensor& logits) const;
  // The product with the vocabulary, for packing. Where it is tied, the embedding reads the packed table.
  Linear& product() { return output_; }

 private:
  // Logits of normed rows, capped where the model caps them: this rank's columns.
  void project(const StepContext& step, const Tensor& normed, const Tensor& logits) const;
  void norm_and_project(const StepContext& step, const Tensor& x, const Tensor& logits) const;
  // Log-probability of targets and the state of the softmax, of this rank's logits and everybody's.
  void lose(const StepContext& step, const Tensor& logits, const std::int32_t* targets,
            const Tensor& log_probability, const Tensor& log_sum_exp) const;
  // One chunk of tokens from `begin` on: loss, dlogits and the weight's gradient. dinput: this rank's share.
  void chunk_forward_backward(const StepContext& step, const Tensor& input, std::int64_t begin,
                              const Tensor& dinput, LossTotals& totals) const;
  [[nodiscard]] std::int64_t chunk_tokens(const StepContext& step) const;
  [[nodiscard]] CrossEntropyShape loss_shape(const StepContext& step) const;
  [[nodiscard]] std::int64_t own_columns() const { return shape_.padded_vocabulary / shape_.tensor.size; }
  [[nodiscard]] std::int64_t first_column() const { return shape_.tensor.rank * own_columns(); }

  HeadShape shape_;
  NormLayer norm_;
  Linear output_;
};

}  // namespace megalith
