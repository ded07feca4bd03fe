// Self attention without its output product: QKV, head norms, rotary positions, the attention itself.
#pragma once

#include <vector>

#include "layers/block_shape.h"
#include "layers/linear.h"
#include "layers/parameters.h"
#include "layers/stash.h"
#include "layers/step_context.h"

namespace megalith {

// Keys and values of one layer for decoding: [slots, G, capacity, D], zero where nothing was written.
struct LayerCache {
  Tensor keys, values;
};

// Rows of an inference call: row r is one token at `position[r]` of the document in cache slot `slot[r]`.
struct CacheRows {
  std::int64_t rows = 0;
  const std::int32_t* slot = nullptr;
  const std::int32_t* position = nullptr;
};

class SelfAttention {
 public:
  static constexpr std::size_t kStashDepth = 6;  // tensors one forward puts, at most
  static void append_specs(const BlockShape& shape, std::vector<ParameterSpec>& specs);

  // rotary: f32 [positions, features that turn], or empty; outlives the layer.
  SelfAttention(const BlockShape& shape, const Tensor& rotary, const Parameters& parameters);

  // context [M, N D] of input [M, H]. context lives as long as the stash, or under selective recompute as
  // long as the caller needs it.
  void forward(const StepContext& step, const Tensor& input, const Tensor& context, Stash& stash) const;
  // Computes again what a selective forward did not keep, before backward: context [M, N D] as forward had
  // it, and, in the workspace, what backward needs besides.
  void forward_core_again(const StepContext& step, const Tensor& context, Stash& stash) const;
  // dinput [M, H] from dcontext [M, N D]; adds to the parameters' gradients.
  void backward(const StepContext& step, const Tensor& dcontext, const Tensor& dinput, Stash& stash) const;
  // context of rows whose keys and values are written to the cache first. The same bits as forward.
  void forward_cached(const StepContext& step, const Tensor& input, const LayerCache& cache,
                      const CacheRows& rows, const Tensor& context) const;

  // The product with a weight, for packing.
  Linear& product() { return qkv_; }

 private:
  struct Heads {
    Tensor q, k, v;  // columns of one tensor, or of two
  };
  [[nodiscard]] Heads split(const Tensor& qkv) const;
  // The heads that attention sees: in qkv itself or, with head norms, in `normed` [M, N D + G D].
  [[nodiscard]] Heads turned(const Tensor& qkv, const Tensor& normed) const;
  [[nodiscard]] AttentionShape attention_shape(const StepContext& step) const;
  [[nodiscard]] HeadRotation rotation(const Parameter* gain, const std::int32_t* positions) const;
  [[nodiscard]] bool turns() const { return !rotary_.empty() || shape_.head_norms; }
  // Norms and turns q and k; rstd f32 [M, N + G] where there are norms.
  void turn(const StepContext& step, const std::int32_t* positions, const Tensor& qkv, const Tensor& normed,
            const Tensor& rstd) const;
  // The attention itself, of heads that were turned.
  void core(const StepContext& step, const Tensor& qkv, const Tensor& normed, const Tensor& context,
            const Tensor& log_sum_exp) const;
  void turn_back(const StepContext& step, const Tensor& qkv, const Tensor& rstd, const Tensor& dqkv) const;

  BlockShape shape_;
  Tensor rotary_;
  Linear qkv_;
  const Parameter* query_gain_;
  const Parameter* key_gain_;
};

}  // namespace megalith
