// What a model is: the shape of the transformer and how its weights begin. Nothing here knows how it is
// trained, split or stored.
//
// L layers, H hidden, N heads, G key/value heads, D head size, F feed-forward, S positions, V vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/registry.h"
#include "core/error.h"
#include "device/elementwise.h"
#include "layers/rotary_table.h"

namespace megalith {

// Standard deviation of the initial weights:
//   gpt2    0.02; products that write to the residual stream 0.02 / sqrt(2 L)
//   mt_nlg  sqrt(1 / (3 H)); the same products divided by sqrt(2 L) too
enum class InitRule : std::uint8_t { gpt2, mt_nlg };

// learned: a table that is added to the tokens. rotary: queries and keys turn.
enum class Positions : std::uint8_t { learned, rotary };

// A stretch of rotary frequencies (layers/rotary_table.h).
struct RotaryConfig {
  double base = 10000;
  double share = 1;  // of a head's features that turn
  RotaryScaling scaling = RotaryScaling::none;
  double factor = 1;
  double low_frequency = 1;
  double high_frequency = 4;
  std::int64_t original_sequence = 8192;
  bool operator==(const RotaryConfig&) const = default;
};

struct ModelConfig {
  std::string preset = {};  // the file in configs/models/ the shape came from, or ""
  std::int64_t layers = 4;
  std::int64_t hidden = 256;
  std::int64_t heads = 4;
  std::int64_t kv_heads = 0;      // 0 until resolved: heads
  std::int64_t head_size = 0;     // 0 until resolved: H / N
  std::int64_t feed_forward = 0;  // 0 until resolved: 4 H
  std::int64_t sequence = 256;    // learned positions, the longest document the model can see at once
  std::int64_t vocabulary = 4096;
  Norm norm = Norm::layer;
  double norm_epsilon = 1e-5;
  Positions positions = Positions::learned;
  RotaryConfig rotary = {};
  Activation activation = Activation::gelu_tanh;
  bool biases = true;
  bool qkv_biases = false;            // of QKV alone, where there are no others
  bool parallel_residual = false;     // attention and feed-forward side by side
  bool head_norms = false;            // RMS norm of each query and key head
  std::int64_t attention_window = 0;  // keys a query sees; 0: all
  double logit_softcap = 0;           // 0: none
  bool tied_output = true;            // the output weight is the token table
  double dropout = 0;                 // of the embedding and of the two residual branches
  double attention_dropout = 0;       // of the attention weights
  InitRule init = InitRule::gpt2;
  double init_std = 0;  // 0: by the rule

  [[nodiscard]] std::int64_t query_columns() const { return heads * head_size; }
  [[nodiscard]] std::int64_t kv_columns() const { return kv_heads * head_size; }
  // Features of a head that turn: the share of them, rounded down to an even number.
  [[nodiscard]] std::int64_t rotary_features() const;
  bool operator==(const ModelConfig&) const = default;
};

// The keys model.*
void declare_model_keys(Registry& registry, ModelConfig& config);

// Puts the values in that other values imply: kv_heads, head_size, feed_forward (4 H; gated 8/3 H, rounded up
// to a multiple of 64).
void resolve(ModelConfig& config);

// What single keys cannot say, for a resolved config: products cut along K have `tree` leaves, so H, N D, G D
// and F are multiples of it; heads are of an even size of at most 256, and key/value heads divide them. The
// registry says where each value came from.
Refusals check_model(const ModelConfig& config, int tree, const Registry& registry);

// The largest power of two up to `most` that check_model accepts as numerics.tree. REQUIRES: resolved.
int largest_tree(const ModelConfig& config, int most);

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
