#include "model/model_config.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace megalith {
namespace {

constexpr std::int64_t kLargestHeadSize = 256;

std::string with_commas(std::int64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

// The largest power of two up to `most` that divides a number.
std::int64_t largest_tree_of(std::int64_t value, std::int64_t most) {
  return std::min(value & -value, most);
}

// "768 or 896": the multiples of `step` around a value that is none.
std::string multiples_around(std::int64_t value, std::int64_t step) {
  const std::int64_t below = value / step * step;
  return below == 0 ? std::to_string(step) : fmt::format("{} or {}", below, below + step);
}

bool is_legal_head_count(std::int64_t hidden, std::int64_t heads) {
  return hidden % heads == 0 && (hidden / heads) % 2 == 0 && hidden / heads <= kLargestHeadSize;
}

// The legal head counts next to the one given: the closest below and above.
std::string legal_heads_around(std::int64_t hidden, std::int64_t heads) {
  std::int64_t below = 0;
  std::int64_t above = 0;
  for (std::int64_t candidate = 1; candidate <= hidden / 2; ++candidate) {
    if (!is_legal_head_count(hidden, candidate)) continue;
    if (candidate < heads) below = candidate;
    if (candidate > heads && above == 0) above = candidate;
  }
  if (below == 0 && above == 0) return "another model.hidden";
  if (below == 0 || above == 0) return std::to_string(std::max(below, above));
  return fmt::format("{} or {}", below, above);
}

// The tensors of one layer, names without "layers.N.".
std::vector<TensorShape> layer_shapes(const ModelConfig& c) {
  std::vector<TensorShape> tensors;
  const auto norm = [&](const std::string& name) {
    tensors.push_back({name + ".gain", 1, c.hidden});
    if (c.biases) tensors.push_back({name + ".bias", 1, c.hidden});
  };
  const auto product = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs, bool bias) {
    tensors.push_back({name + ".weight", outputs, inputs});
    if (bias) tensors.push_back({name + ".bias", 1, outputs});
  };
  norm("attention.norm");
  product("attention.qkv", c.query_columns() + 2 * c.kv_columns(), c.hidden, c.biases || c.qkv_biases);
  if (c.head_norms) {
    tensors.push_back({"attention.query_norm.gain", 1, c.head_size});
    tensors.push_back({"attention.key_norm.gain", 1, c.head_size});
  }
  if (!c.parallel_residual) product("attention.out", c.hidden, c.query_columns(), c.biases);
  norm("feed_forward.norm");
  product("feed_forward.up", (is_gated(c.activation) ? 2 : 1) * c.feed_forward, c.hidden, c.biases);
  if (!c.parallel_residual) {
    product("feed_forward.down", c.hidden, c.feed_forward, c.biases);
    return tensors;
  }
  product("out", c.hidden, c.query_columns() + c.feed_forward, false);
  if (c.biases) {
    tensors.push_back({"attention.out.bias", 1, c.hidden});
    tensors.push_back({"feed_forward.down.bias", 1, c.hidden});
  }
  return tensors;
}

std::int64_t count_of(const std::vector<TensorShape>& tensors) {
  std::int64_t count = 0;
  for (const TensorShape& tensor : tensors) count += tensor.count();
  return count;
}

// Weights of one layer's products: its matrices.
std::int64_t layer_products(const ModelConfig& c) {
  std::int64_t count = 0;
  for (const TensorShape& tensor : layer_shapes(c)) count += tensor.rows > 1 ? tensor.count() : 0;
  return count;
}

void declare_position_keys(Registry& registry, ModelConfig& config) {
  registry.choice("model.positions", config.positions,
                  {{"learned", Positions::learned}, {"rotary", Positions::rotary}},
                  {.help = "A learned table (GPT) or rotary positions (NeoX, Llama, Mistral, Qwen)."});
  RotaryConfig& rotary = config.rotary;
  registry.real("model.rotary_base", rotary.base,
                {.min = 1, .max = 1e12, .min_excluded = true, .help = "Base of the rotary frequencies."});
  registry.real("model.rotary_share", rotary.share,
                {.min = 0,
                 .max = 1,
                 .min_excluded = true,
                 .help = "Share of a head's features that turn, rounded down to an even number."});
  registry.choice(
      "model.rotary_scaling", rotary.scaling,
      {{"none", RotaryScaling::none}, {"linear", RotaryScaling::linear}, {"llama3", RotaryScaling::llama3}},
      {.help = "How frequencies are stretched for long contexts. None depends on the present "
               "length: a prefix keeps its bits."});
  registry.real("model.rotary_factor", rotary.factor,
                {.min = 1, .max = 1e6, .help = "Of linear and llama3 scaling."});
  registry.real("model.rotary_low_frequency", rotary.low_frequency,
                {.min = 0, .max = 1e6, .min_excluded = true, .help = "low_freq_factor of llama3 scaling."});
  registry.real("model.rotary_high_frequency", rotary.high_frequency,
                {.min = 0, .max = 1e6, .min_excluded = true, .help = "high_freq_factor of llama3 scaling."});
  registry.integer("model.rotary_original_sequence", rotary.original_sequence,
                   {.min = 1, .max = 1 << 30, .unit = "tokens", .help = "Context before llama3 scaling."});
}

}  // namespace

void declare_model_keys(Registry& registry, ModelConfig& config) {
  registry.section("model", "The transformer's shape and how its weights begin.");
  registry.text("model.preset", config.preset,
                {.empty = "none",
                 .max_bytes = 100,
                 .help = "Start from the model.* keys of configs/models/NAME.toml; keys given here win."});
  registry.integer("model.layers", config.layers, {.min = 1, .max = 10000, .help = "Transformer blocks."});
  registry.integer("model.hidden", config.hidden,
                   {.min = 2,
                    .max = 1 << 20,
                    .help = "Width of the residual stream; a multiple of numerics.tree and of "
                            "model.heads."});
  registry.integer("model.heads", config.heads, {.min = 1, .max = 1 << 16, .help = "Query heads."});
  registry.integer("model.kv_heads", config.kv_heads,
                   {.min = 1,
                    .max = 1 << 16,
                    .zero = "model.heads",
                    .help = "Key/value heads, each shared by a group of query heads; divides model.heads."});
  registry.integer("model.head_size", config.head_size,
                   {.min = 2,
                    .max = kLargestHeadSize,
                    .zero = "model.hidden / model.heads",
                    .help = "Features of a head: even."});
  registry.integer("model.feed_forward", config.feed_forward,
                   {.min = 1,
                    .max = 1 << 23,
                    .zero = "4 x model.hidden; gated 8/3 of it, rounded up to a multiple of 64",
                    .help = "Inner width of the feed-forward part; a multiple of numerics.tree."});
  registry.integer("model.sequence", config.sequence,
                   {.min = 1,
                    .max = 1 << 20,
                    .unit = "tokens",
                    .help = "The longest context; rows of learned positions."});
  registry.integer("model.vocabulary", config.vocabulary,
                   {.min = 1,
                    .max = 1 << 24,
                    .unit = "tokens",
                    .help = "Token ids 0 to this - 1. Any number; padding never takes probability."});
  declare_position_keys(registry, config);
  registry.choice("model.norm", config.norm, {{"layernorm", Norm::layer}, {"rmsnorm", Norm::rms}},
                  {.help = "LayerNorm (GPT, NeoX) or RMSNorm (Llama, Mistral, Qwen)."});
  registry.real("model.norm_epsilon", config.norm_epsilon,
                {.min = 0, .max = 1, .min_excluded = true, .help = "Added to the variance in norms."});
  registry.choice("model.activation", config.activation,
                  {{"gelu_tanh", Activation::gelu_tanh},
                   {"gelu_erf", Activation::gelu_erf},
                   {"swiglu", Activation::swiglu},
                   {"geglu", Activation::geglu}},
                  {.help = "GELU with the tanh form (GPT-2, GPT-3, Megatron) or the exact error function "
                           "(NeoX); gated: SwiGLU (Llama, Mistral, Qwen) or GEGLU."});
  registry.boolean("model.biases", config.biases, {.help = "Biases of products and LayerNorms."});
  registry.boolean("model.qkv_biases", config.qkv_biases,
                   {.help = "Biases of QKV where model.biases is false (Qwen2)."});
  registry.boolean("model.parallel_residual", config.parallel_residual,
                   {.help = "Attention and feed-forward read the same input and are added together (NeoX)."});
  registry.boolean("model.head_norms", config.head_norms,
                   {.help = "RMS norm of each query and key head before rotary positions."});
  registry.integer("model.attention_window", config.attention_window,
                   {.min = 1,
                    .max = std::int64_t{1} << 32,
                    .zero = "all of the document",
                    .unit = "tokens",
                    .help = "Keys a token sees, itself included: cost and memory linear in the length."});
  registry.real("model.logit_softcap", config.logit_softcap,
                {.min = 0,
                 .max = 1e6,
                 .min_excluded = true,
                 .zero = "none",
                 .help = "Logits become cap x tanh(logit / cap)."});
  registry.boolean("model.tied_output", config.tied_output,
                   {.help = "The output weight is the token table instead of a matrix of its own."});
  registry.real(
      "model.dropout", config.dropout,
      {.min = 0,
       .max = 0.99,
       .help = "Dropout of the embedding and of both residual branches; a multiple of 2^-16 is used."});
  registry.real("model.attention_dropout", config.attention_dropout,
                {.min = 0, .max = 0.99, .help = "Dropout of the attention weights."});
  registry.choice(
      "model.init", config.init, {{"gpt2", InitRule::gpt2}, {"mt-nlg", InitRule::mt_nlg}},
      {.help = "Standard deviation of initial weights: gpt2 0.02, mt-nlg sqrt(1 / (3 hidden)); both divide "
               "by sqrt(2 layers) where a product writes to the residual stream."});
  registry.real("model.init_std", config.init_std,
                {.min = 0,
                 .max = 10,
                 .min_excluded = true,
                 .zero = "by model.init",
                 .help = "Overrides the rule's standard deviation."});
}

std::int64_t ModelConfig::rotary_features() const {
  if (positions != Positions::rotary) return 0;
  return static_cast<std::int64_t>(rotary.share * static_cast<double>(head_size)) / 2 * 2;
}

void resolve(ModelConfig& config) {
  if (config.kv_heads == 0) config.kv_heads = config.heads;
  if (config.head_size == 0 && config.hidden % config.heads == 0)
    config.head_size = config.hidden / config.heads;
  if (config.feed_forward != 0) return;
  config.feed_forward = 4 * config.hidden;
  if (is_gated(config.activation)) config.feed_forward = (8 * config.hidden / 3 + 63) / 64 * 64;
}

namespace {

// Heads are whole, key/value heads divide them, and both fill whole leaves.
void check_heads(const ModelConfig& config, int tree, const Registry& registry, Refusals& refusals) {
  if (config.head_size == 0 || config.head_size % 2 != 0 || config.head_size > kLargestHeadSize) {
    refusals.push_back(
        {.where = registry.where("model.heads"),
         .found = std::to_string(config.heads),
         .allowed = fmt::format("a divisor of model.hidden = {} with an even head size of at most {}, or "
                                "model.head_size given",
                                config.hidden, kLargestHeadSize),
         .nearest = legal_heads_around(config.hidden, config.heads)});
    return;
  }
  if (config.heads % config.kv_heads != 0) {
    refusals.push_back({.where = registry.where("model.kv_heads"),
                        .found = std::to_string(config.kv_heads),
                        .allowed = fmt::format("a divisor of model.heads = {}", config.heads),
                        .nearest = std::to_string(std::gcd(config.heads, config.kv_heads))});
    return;
  }
  const auto whole = [&](const char* key, const char* columns, std::int64_t heads) {
    if (heads * config.head_size % tree == 0) return;
    refusals.push_back({.where = registry.where(key),
                        .found = fmt::format("{} heads of {}", heads, config.head_size),
                        .allowed = fmt::format("{} that are a multiple of numerics.tree = {}", columns, tree),
                        .nearest = fmt::format("numerics.tree = {}",
                                               std::gcd<std::int64_t>(heads * config.head_size, tree))});
  };
  whole("model.heads", "query columns", config.heads);
  if (config.kv_heads != config.heads) whole("model.kv_heads", "key columns", config.kv_heads);
}

}  // namespace

Refusals check_model(const ModelConfig& config, int tree, const Registry& registry) {
  Refusals refusals;
  const auto whole_leaves = [&](const char* key, std::int64_t value) {
    if (value % tree == 0) return;
    refusals.push_back({.where = registry.where(key),
                        .found = std::to_string(value),
                        .allowed = fmt::format("a multiple of numerics.tree = {}", tree),
                        .nearest = fmt::format("{}, or numerics.tree = {}", multiples_around(value, tree),
                                               largest_tree_of(value, tree))});
  };
  whole_leaves("model.hidden", config.hidden);
  whole_leaves("model.feed_forward", config.feed_forward);
  check_heads(config, tree, registry, refusals);
  if (config.positions == Positions::rotary && config.rotary_features() < 2) {
    refusals.push_back({.where = registry.where("model.rotary_share"),
                        .found = registry.at("model.rotary_share").show(),
                        .allowed = fmt::format("at least two of the {} features of a head", config.head_size),
                        .nearest = fmt::format("{:.3}", 2.0 / static_cast<double>(config.head_size))});
  }
  if (config.rotary.scaling == RotaryScaling::llama3 &&
      !(config.rotary.low_frequency < config.rotary.high_frequency)) {
    refusals.push_back(
        {.where = registry.where("model.rotary_high_frequency"),
         .found = registry.at("model.rotary_high_frequency").show(),
         .allowed = fmt::format("above model.rotary_low_frequency = {}", config.rotary.low_frequency),
         .nearest = fmt::format("{}", 4 * config.rotary.low_frequency)});
  }
  return refusals;
}

int largest_tree(const ModelConfig& config, int most) {
  std::int64_t common = std::gcd(config.hidden, config.feed_forward);
  common = std::gcd(common, config.query_columns());
  common = std::gcd(common, config.kv_columns());
  return static_cast<int>(largest_tree_of(common, most));
}

std::vector<TensorShape> tensor_shapes(const ModelConfig& c) {
  std::vector<TensorShape> tensors = {{"embedding.tokens", c.vocabulary, c.hidden}};
  if (c.positions == Positions::learned) tensors.push_back({"embedding.positions", c.sequence, c.hidden});
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    for (TensorShape& tensor : layer_shapes(c)) {
      tensor.name = fmt::format("layers.{}.{}", layer, tensor.name);
      tensors.push_back(std::move(tensor));
    }
  }
  tensors.push_back({"head.norm.gain", 1, c.hidden});
  if (c.biases) tensors.push_back({"head.norm.bias", 1, c.hidden});
  if (!c.tied_output) tensors.push_back({"head.output.weight", c.vocabulary, c.hidden});
  return tensors;
}

std::int64_t parameter_count(const ModelConfig& c) {
  ModelConfig without_layers = c;
  without_layers.layers = 0;
  return count_of(tensor_shapes(without_layers)) + c.layers * count_of(layer_shapes(c));
}

std::int64_t padded_vocabulary(const ModelConfig& config, int tree) {
  const std::int64_t step = std::int64_t{16} * tree;
  return (config.vocabulary + step - 1) / step * step;
}

double init_deviation(const ModelConfig& config) {
  if (config.init_std != 0) return config.init_std;
  return config.init == InitRule::gpt2 ? 0.02 : std::sqrt(1.0 / (3.0 * static_cast<double>(config.hidden)));
}

double residual_init_deviation(const ModelConfig& config) {
  return init_deviation(config) / std::sqrt(2.0 * static_cast<double>(config.layers));
}

TokenFlops training_flops_palm(const ModelConfig& c, std::int64_t sequence) {
  const std::int64_t parameters = parameter_count(c);
  const std::int64_t flops = 6 * parameters + 12 * c.layers * c.query_columns() * sequence;
  return {.flops = flops,
          .formula = fmt::format(
              "6 parameters + 12 layers x heads x head size x sequence = 6 x {} + 12 x {} x {} x {} x "
              "{} = {} FLOP per token (PaLM convention)",
              with_commas(parameters), c.layers, c.heads, c.head_size, sequence, with_commas(flops))};
}

TokenFlops training_flops_causal(const ModelConfig& c, std::int64_t sequence) {
  // Backward is twice the forward. A product is two operations per weight. Of attention, QK^T and PV make 4 N
  // D per key; a token sees half of the sequence on average, of a window all but the ramp at its start.
  const std::int64_t window = c.attention_window == 0 ? sequence : std::min(c.attention_window, sequence);
  const std::int64_t twice_seen = 2 * window - window * window / sequence;
  const std::int64_t layer = layer_products(c);
  const std::int64_t flops =
      6 * (c.layers * layer + c.hidden * c.vocabulary) + 6 * c.layers * c.query_columns() * twice_seen;
  return {.flops = flops,
          .formula = fmt::format(
              "6 (layers x weights of its products + hidden x vocabulary) + 6 layers x heads x head size x "
              "2 keys seen on average = 6 x ({} x {} + {} x {}) + 6 x {} x {} x {} x {} = {} FLOP per "
              "token (causal half of attention, matrices only)",
              c.layers, with_commas(layer), c.hidden, c.vocabulary, c.layers, c.heads, c.head_size,
              twice_seen, with_commas(flops))};
}

}  // namespace megalith
