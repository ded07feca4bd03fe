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
  static constexpr std::size_t kStashDepth = 7;  // tensors one forward puts, at most
  static void append_specs(const BlockShape& shape, std::vector<ParameterSpec>& specs);

  // rotary: f32 [positions, features that turn], or empty; outlives the layer.
  SelfAttention(const BlockShape& shape, const Tensor& rotary, const Parameters& parameters);

  // context [M, N D] of input [M, H], or of this rank's tokens of it; N is this rank's. context lives as long
  // as the stash, or under selective recompute as long as the caller needs it.
  void forward(const StepContext& step, const Tensor& input, const Tensor& context, Stash& stash) const;
  // Computes again what a selective forward did not keep, before backward: context [M, N D] as forward had
  // it, and, in the workspace, what backward needs besides.
  void forward_core_again(const StepContext& step, const Tensor& context, Stash& stash) const;
  // dinput, as input, from dcontext [M, N D]; adds to the parameters' gradients.
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
  // Where queries, keys and values are: columns of qkv, but keys and values of a head that several ranks use
  // are gathered in kv [M, 2 D].
  struct Projected {
    Tensor qkv, kv;
  };
  [[nodiscard]] Heads split(const Projected& projected) const;
  // The heads that attention sees: where they are or, with head norms, in `normed` [M, N D + G D].
  [[nodiscard]] Heads turned(const Projected& projected, const Tensor& normed) const;
  // Whether this rank has only a part of the features of its key/value head's keys and values.
  [[nodiscard]] bool shares_head() const { return sharers_ > 1; }
  [[nodiscard]] std::int64_t qkv_columns() const { return shape_.query_columns() + 2 * own_kv_columns_; }
  void gather_head(const StepContext& step, const Projected& projected) const;
  // Gradients of keys or values in f32 [M, D], of this rank's query heads, to that of this rank's features.
  void sum_over_sharers(const StepContext& step, const Tensor& share, const Tensor& own) const;
  void backward_shared_head(const StepContext& step, const AttentionBackward& core,
                            const Projected& projected, const Tensor& rstd, const Tensor& dqkv) const;
  [[nodiscard]] AttentionShape attention_shape(const StepContext& step) const;
  [[nodiscard]] HeadRotation rotation(const Parameter* gain, const std::int32_t* positions) const;
  [[nodiscard]] bool turns() const { return !rotary_.empty() || shape_.head_norms; }
  // Norms and turns q and k; rstd f32 [M, N + G] where there are norms.
  void turn(const StepContext& step, const std::int32_t* positions, const Projected& projected,
            const Tensor& normed, const Tensor& rstd) const;
  // The attention itself, of heads that were turned.
  void core(const StepContext& step, const Projected& projected, const Tensor& normed, const Tensor& context,
            const Tensor& log_sum_exp) const;
  void turn_back_queries(const StepContext& step, const Heads& raw, const Tensor& rstd,
                         const Tensor& dq) const;
  // dgain: of the key norm's gain, i64 [D].
  void turn_back_keys(const StepContext& step, const Heads& raw, const Tensor& rstd, const Tensor& dk,
                      const Tensor& dgain) const;
  void turn_back(const StepContext& step, const Parameter* gain, const Tensor& x, const Tensor& rstd,
                 const Tensor& dx, const Tensor& dgain) const;
  [[nodiscard]] Dropout weights_dropout(const StepContext& step) const;

  BlockShape shape_;             // this rank's
  int sharers_;                  // ranks that use one key/value head together; 1: none do
  std::int64_t own_kv_columns_;  // of keys, and of values, that this rank projects
  Tensor rotary_;
  Linear qkv_;
  const Parameter* query_gain_;
  const Parameter* key_gain_;
};

}  // namespace megalith
