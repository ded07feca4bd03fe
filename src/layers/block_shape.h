// The shape of one transformer block, as its parts read it.
#pragma once

#include <cstdint>
#include <string>

#include "device/activation.h"
#include "device/elementwise.h"
#include "layers/norm_layer.h"
#include "layers/recompute.h"
#include "layers/tensor_group.h"

namespace megalith {

// H hidden, N query heads, G key/value heads, D head size, F feed-forward.
struct BlockShape {
  int layer = 0;  // 0-based
  std::int64_t hidden = 0;
  std::int64_t feed_forward = 0;
  int heads = 0;
  int kv_heads = 0;  // divides heads
  int head_size = 0;
  Norm norm = Norm::layer;
  float norm_epsilon = 1e-5f;
  bool biases = true;       // of products and norms
  bool qkv_biases = false;  // of QKV alone, where there are no others
  Activation activation = Activation::gelu_tanh;
  bool parallel_residual = false;
  bool head_norms = false;       // an RMS norm of each query and key head
  std::int64_t window = 0;       // keys a query sees; 0: all
  double dropout = 0;            // of the residual branches
  double attention_dropout = 0;  // of the attention weights
  double init_deviation = 0.02;
  double residual_init_deviation = 0.02;  // of products that write to the residual stream
  Recompute recompute = Recompute::none;  // of the run, not of the model
  TensorSharing tensor = {};              // of the run, too

  [[nodiscard]] std::int64_t query_columns() const { return std::int64_t{heads} * head_size; }  // N D
  [[nodiscard]] std::int64_t kv_columns() const { return std::int64_t{kv_heads} * head_size; }  // G D
  [[nodiscard]] std::int64_t qkv_columns() const { return query_columns() + 2 * kv_columns(); }
  // Columns before the activation: a gated one has gate and up.
  [[nodiscard]] std::int64_t up_columns() const { return (is_gated(activation) ? 2 : 1) * feed_forward; }
  [[nodiscard]] NormShape norm_shape() const {
    return {.norm = norm,
            .hidden = hidden,
            .bias = biases,
            .epsilon = norm_epsilon,
            .cut_tokens = tensor.sequence_parallel && tensor.place.size > 1};
  }
  // What one tensor rank computes: its query heads, the key/value heads that those use, its part of the
  // feed-forward.
  [[nodiscard]] BlockShape local() const {
    BlockShape part = *this;
    part.heads = heads / tensor.place.size;
    part.kv_heads = kv_heads >= tensor.place.size ? kv_heads / tensor.place.size : 1;
    part.feed_forward = feed_forward / tensor.place.size;
    return part;
  }
  [[nodiscard]] std::string name(const std::string& part) const {
    return "layers." + std::to_string(layer) + "." + part;
  }
};

}  // namespace megalith
