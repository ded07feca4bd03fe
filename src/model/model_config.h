// What a model is: the shape of the transformer and how its weights begin. Nothing here knows how it is
// trained, split or stored.
//
// L layers, H hidden, N heads, D = H / N head size, F feed-forward, S positions, V vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/registry.h"
#include "core/error.h"
#include "device/elementwise.h"

namespace megalith {

// Standard deviation of the initial weights:
//   gpt2    0.02; products that write to the residual stream 0.02 / sqrt(2 L)
//   mt_nlg  sqrt(1 / (3 H)); the same products divided by sqrt(2 L) too
enum class InitRule : std::uint8_t { gpt2, mt_nlg };

struct ModelConfig {
  std::string preset = {};  // the file in configs/models/ the shape came from, or ""
  std::int64_t layers = 4;
  std::int64_t hidden = 256;
  std::int64_t heads = 4;
  std::int64_t feed_forward = 0;  // 0 until resolved: 4 H
  std::int64_t sequence = 256;    // learned positions, the longest document the model can see at once
  std::int64_t vocabulary = 4096;
  double norm_epsilon = 1e-5;
  Activation activation = Activation::gelu_tanh;
  bool biases = true;
  bool tied_output = true;       // the output weight is the token table
  double dropout = 0;            // of the embedding and of the two residual branches
  double attention_dropout = 0;  // of the attention weights
  InitRule init = InitRule::gpt2;
  double init_std = 0;  // 0: by the rule

  [[nodiscard]] std::int64_t head_size() const { return hidden / heads; }
  bool operator==(const ModelConfig&) const = default;
};

// The keys model.*
void declare_model_keys(Registry& registry, ModelConfig& config);

// Puts the values in that other values imply (feed_forward = 4 H).
void resolve(ModelConfig& config);

// What single keys cannot say, for a resolved config: products cut along K have `tree` leaves, so H and F are
// multiples of it; heads are whole, of an even size of at most 256. The registry says where each value came
// from.
Refusals check_model(const ModelConfig& config, int tree, const Registry& registry);

// One trained tensor by its logical shape: without padding.
struct TensorShape {
  std::string name;       // "layers.3.attention.qkv.weight"
  std::int64_t rows = 1;  // 1 for vectors
  std::int64_t columns = 0;
  [[nodiscard]] std::int64_t count() const { return rows * columns; }
};

// Every trained tensor, in the order of the model's parameters.
std::vector<TensorShape> tensor_shapes(const ModelConfig& config);

// Trained numbers, without vocabulary padding. A tied output counts once.
std::int64_t parameter_count(const ModelConfig& config);

// The next multiple of 16 x tree: what no layout changes. Padded rows are zero and their logits never count.
std::int64_t padded_vocabulary(const ModelConfig& config, int tree);

// Standard deviation of initial matrices, and of those that write to the residual stream.
double init_deviation(const ModelConfig& config);
double residual_init_deviation(const ModelConfig& config);

// Floating-point operations of training on one token, forward and backward, nothing recomputed.
struct TokenFlops {
  std::int64_t flops = 0;
  std::string formula;  // with this model's numbers put in: "6 N + 12 L N D S = 6 x 124,439,808 + ..."
};
// 6 P + 12 L N D S, P every parameter (PaLM, arXiv 2204.02311, appendix B): the convention of most published
// MFU.
TokenFlops training_flops_palm(const ModelConfig& config, std::int64_t sequence);
// What a causal model must multiply: matrices only, and of attention the half below the diagonal.
TokenFlops training_flops_causal(const ModelConfig& config, std::int64_t sequence);

}  // namespace megalith
