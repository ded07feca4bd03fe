// One pre-norm transformer block of the GPT-2 / GPT-3 / MT-NLG shape:
//   a = x + dropout(Attention(LayerNorm(x)));   y = a + dropout(FeedForward(LayerNorm(a)))
//
// M tokens of the micro batch, H hidden, F feed-forward, N heads, D head size (N D = H).
#pragma once

#include <string>
#include <vector>

#include "layers/layer_norm.h"
#include "layers/linear.h"
#include "layers/parameters.h"
#include "layers/stash.h"
#include "layers/step_context.h"

namespace megalith {

struct BlockShape {
  int layer = 0;  // 0-based
  std::int64_t hidden = 0;
  std::int64_t feed_forward = 0;
  int heads = 0;
  bool biases = true;
  float norm_epsilon = 1e-5f;
  Activation activation = Activation::gelu_tanh;
  double dropout = 0;            // of the two residual branches
  double attention_dropout = 0;  // of the attention weights
  double init_deviation = 0.02;
  double residual_init_deviation = 0.02;  // of the two products that write to the residual stream

  [[nodiscard]] std::int64_t head_size() const { return hidden / heads; }
};

// Keys and values of one layer for decoding: [slots, capacity, H], zero where nothing was written.
struct LayerCache {
  Tensor keys, values;
};

// Rows of an inference call: row r is one token at `position[r]` of the document in cache slot `slot[r]`.
struct CacheRows {
  std::int64_t rows = 0;
  const std::int32_t* slot = nullptr;
  const std::int32_t* position = nullptr;
};

class TransformerBlock {
 public:
  static std::vector<ParameterSpec> specs(const BlockShape& shape);
  static constexpr std::size_t kStashDepth = 13;  // tensors one forward puts

  TransformerBlock(const BlockShape& shape, const Parameters& parameters);

  // Returns y [M, H] in the stash's memory; x must live as long as the stash.
  Tensor forward(const StepContext& step, const Tensor& x, Stash& stash) const;
  // gradient [M, H]: of y on entry, of x on return. Adds to the parameters' gradients.
  void backward(const StepContext& step, const Tensor& gradient, Stash& stash) const;
  // In place on x [rows, H]; writes the rows' keys and values to the cache first. Same bits as forward
  // without dropout.
  void forward_cached(const StepContext& step, const Tensor& x, const LayerCache& cache,
                      const CacheRows& rows) const;

 private:
  [[nodiscard]] AttentionShape attention_shape(const StepContext& step) const;
  void residual_add(const StepContext& step, const Linear& product, const Tensor& input,
                    const Tensor& residual, const Tensor& y, std::uint32_t site) const;
  Tensor attention_backward(const StepContext& step, const Tensor& gradient, Stash& stash) const;
  Tensor feed_forward_backward(const StepContext& step, const Tensor& gradient, Stash& stash) const;
  // The gradient of a branch's output before its dropout: `gradient` itself without dropout.
  Tensor through_dropout(const StepContext& step, const Tensor& gradient, std::uint32_t site) const;

  BlockShape shape_;
  LayerNorm attention_norm_;
  Linear qkv_;
  Linear attention_out_;
  LayerNorm feed_forward_norm_;
  Linear up_;
  Linear down_;
};

}  // namespace megalith
