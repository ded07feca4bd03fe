// One pre-norm transformer block.
//   one after the other: a = x + drop(Out(Attention(Norm(x)))),  y = a + drop(Down(Feed(Norm(a))))
//   parallel residual:   y = x + drop(Out[Attention(Norm(x)), Feed(Norm'(x))])
// In the second both parts are columns of one product, which is one sum and, over ranks, one reduction
// (Black et al., arXiv 2204.06745, section 2.1; here dropout acts on the joint sum).
//
// M tokens of the micro batch, H hidden, F feed-forward, N heads of size D; F and N are this tensor rank's.
// Under sequence parallelism x, y and gradient have this rank's tokens alone.
#pragma once

#include <optional>
#include <vector>

#include "layers/feed_forward.h"
#include "layers/norm_layer.h"
#include "layers/self_attention.h"

namespace megalith {

class TransformerBlock {
 public:
  static std::vector<ParameterSpec> specs(const BlockShape& shape);
  // Tensors one forward puts: of two norms, of the parts and their results.
  static constexpr std::size_t kStashDepth = 6 + SelfAttention::kStashDepth + FeedForward::kStashDepth + 2;

  // rotary: f32 [positions, features that turn], or empty; outlives the block.
  TransformerBlock(const BlockShape& shape, const Tensor& rotary, const Parameters& parameters);

  // y [M, H] of x [M, H]; x must live as long as the stash.
  void forward(const StepContext& step, const Tensor& x, const Tensor& y, Stash& stash) const;
  // gradient [M, H]: of y on entry, of x on return. Adds to the parameters' gradients.
  void backward(const StepContext& step, const Tensor& gradient, Stash& stash) const;
  // In place on x [rows, H]; writes the rows' keys and values to the cache first. Same bits as forward
  // without dropout.
  void forward_cached(const StepContext& step, const Tensor& x, const LayerCache& cache,
                      const CacheRows& rows) const;
  // The products with a weight, for packing.
  [[nodiscard]] std::vector<Linear*> products();

 private:
  // Results of attention [M, N D] and feed-forward [M, F], side by side in parallel blocks.
  struct Parts {
    Tensor context, activated, both;
  };
  [[nodiscard]] Parts parts_of(const Tensor& both) const;
  // The operands of the block's last product and sum.
  struct Ending {
    Tensor input, residual;
  };
  // Forward up to there: all that backward needs.
  Ending forward_to_ending(const StepContext& step, const Tensor& x, Stash& stash) const;
  Ending forward_to_ending_parallel(const StepContext& step, const Tensor& x, Stash& stash) const;
  void forward_ending(const StepContext& step, const Ending& ending, const Tensor& y) const;
  void backward_kept(const StepContext& step, const Tensor& gradient, Stash& stash) const;
  // Memory of the attention's result, which selective recompute does not keep.
  Tensor context_memory(const StepContext& step, Stash& stash, std::int64_t rows, std::int64_t columns) const;
  [[nodiscard]] bool selective() const { return shape_.recompute == Recompute::selective; }
  Tensor take_context(const StepContext& step, Stash& stash) const;
  Parts take_parts(const StepContext& step, Stash& stash) const;
  void backward_parallel(const StepContext& step, const Tensor& gradient, Stash& stash) const;
  void forward_cached_parallel(const StepContext& step, const Tensor& x, const LayerCache& cache,
                               const CacheRows& rows) const;
  void backward_feed_forward(const StepContext& step, const Tensor& gradient, Stash& stash) const;
  void backward_attention(const StepContext& step, const Tensor& gradient, Stash& stash) const;
  // y = residual + dropout(product(input) + biases)
  void residual_add(const StepContext& step, const Linear& product, const Tensor& input,
                    const Tensor& residual, const Tensor& y, std::uint32_t site) const;
  // ... of rows whose first is token `first`, given the product.
  void add_to_residual(const StepContext& step, const Linear& product, const Tensor& sum,
                       const Tensor& residual, const Tensor& y, std::int64_t first, std::uint32_t site) const;
  // The gradient [M, H] of a branch's output before its dropout, in memory that nothing overwrites until the
  // weight half is done.
  Tensor through_dropout(const StepContext& step, const Tensor& gradient, std::uint32_t site) const;
  // Memory of [rows, H] in the compute dtype that the caller's scope gives back.
  Tensor row_memory(const StepContext& step, std::int64_t rows) const;

  BlockShape shape_;
  NormLayer attention_norm_;
  SelfAttention attention_;
  NormLayer feed_forward_norm_;
  FeedForward feed_forward_;
  Linear attention_out_;                    // parallel: of both parts
  std::optional<Linear> down_;              // only where the parts come one after the other
  const Parameter* second_bias_ = nullptr;  // parallel: of the feed-forward part
};

}  // namespace megalith
