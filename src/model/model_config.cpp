#include "model/model_config.h"

#include <algorithm>
#include <cmath>

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

// Multiplies and adds of one token's products with weights, forward, without the vocabulary: QKV, attention
// out, up and down.
std::int64_t layer_products(const ModelConfig& c) {
  return c.hidden * (4 * c.hidden + 2 * c.feed_forward);
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
  registry.integer(
      "model.heads", config.heads,
      {.min = 1, .max = 1 << 16, .help = "Attention heads; hidden / heads is even and at most 256."});
  registry.integer("model.feed_forward", config.feed_forward,
                   {.min = 1,
                    .max = 1 << 23,
                    .zero = "4 x model.hidden",
                    .help = "Inner width of the feed-forward part; a multiple of numerics.tree."});
  registry.integer(
      "model.sequence", config.sequence,
      {.min = 1, .max = 1 << 20, .unit = "tokens", .help = "Learned positions: the longest context."});
  registry.integer("model.vocabulary", config.vocabulary,
                   {.min = 1,
                    .max = 1 << 24,
                    .unit = "tokens",
                    .help = "Token ids 0 to this - 1. Any number; padding never takes probability."});
  registry.real("model.norm_epsilon", config.norm_epsilon,
                {.min = 0, .max = 1, .min_excluded = true, .help = "Added to the variance in LayerNorm."});
  registry.choice("model.activation", config.activation,
                  {{"gelu_tanh", Activation::gelu_tanh}, {"gelu_erf", Activation::gelu_erf}},
                  {.help = "GELU with the tanh form (GPT-2, GPT-3, Megatron) or the exact error function."});
  registry.boolean("model.biases", config.biases, {.help = "Biases of products and norms."});
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

void resolve(ModelConfig& config) {
  if (config.feed_forward == 0) config.feed_forward = 4 * config.hidden;
}

Refusals check_model(const ModelConfig& config, int tree, const Registry& registry) {
  Refusals refusals;
  const auto whole_leaves = [&](const char* key, std::int64_t value) {
    if (value % tree == 0) return;
    refusals.push_back({.where = registry.where(key),
                        .found = std::to_string(value),
                        .allowed = fmt::format("a multiple of numerics.tree = {}", tree),
                        .nearest = multiples_around(value, tree)});
  };
  whole_leaves("model.hidden", config.hidden);
  whole_leaves("model.feed_forward", config.feed_forward);
  if (!is_legal_head_count(config.hidden, config.heads)) {
    refusals.push_back(
        {.where = registry.where("model.heads"),
         .found = std::to_string(config.heads),
         .allowed = fmt::format("a divisor of model.hidden = {} with an even head size of at most {}",
                                config.hidden, kLargestHeadSize),
         .nearest = legal_heads_around(config.hidden, config.heads)});
  }
  return refusals;
}

std::vector<TensorShape> tensor_shapes(const ModelConfig& c) {
  std::vector<TensorShape> tensors = {{"embedding.tokens", c.vocabulary, c.hidden},
                                      {"embedding.positions", c.sequence, c.hidden}};
  const auto norm = [&](const std::string& name) {
    tensors.push_back({name + ".gain", 1, c.hidden});
    if (c.biases) tensors.push_back({name + ".bias", 1, c.hidden});
  };
  const auto product = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    tensors.push_back({name + ".weight", outputs, inputs});
    if (c.biases) tensors.push_back({name + ".bias", 1, outputs});
  };
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    norm(prefix + "attention.norm");
    product(prefix + "attention.qkv", 3 * c.hidden, c.hidden);
    product(prefix + "attention.out", c.hidden, c.hidden);
    norm(prefix + "feed_forward.norm");
    product(prefix + "feed_forward.up", c.feed_forward, c.hidden);
    product(prefix + "feed_forward.down", c.hidden, c.feed_forward);
  }
  norm("head.norm");
  if (!c.tied_output) tensors.push_back({"head.output.weight", c.vocabulary, c.hidden});
  return tensors;
}

std::int64_t parameter_count(const ModelConfig& c) {
  const std::int64_t bias = c.biases ? 1 : 0;
  const std::int64_t norm = (1 + bias) * c.hidden;
  const std::int64_t layer_biases = bias * (3 * c.hidden + c.hidden + c.feed_forward + c.hidden);
  const std::int64_t layer = layer_products(c) + layer_biases + 2 * norm;
  const std::int64_t tables = (c.vocabulary * (c.tied_output ? 1 : 2) + c.sequence) * c.hidden;
  return c.layers * layer + norm + tables;
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
  const std::int64_t flops = 6 * parameters + 12 * c.layers * c.heads * c.head_size() * sequence;
  return {.flops = flops,
          .formula = fmt::format(
              "6 parameters + 12 layers x heads x head size x sequence = 6 x {} + 12 x {} x {} x {} x "
              "{} = {} FLOP per token (PaLM convention)",
              with_commas(parameters), c.layers, c.heads, c.head_size(), sequence, with_commas(flops))};
}

TokenFlops training_flops_causal(const ModelConfig& c, std::int64_t sequence) {
  // Backward is twice the forward. A product is two operations per weight. Of attention, QK^T and PV make 4 H
  // S; a token sees half of the sequence on average.
  const std::int64_t flops =
      6 * (c.layers * layer_products(c) + c.hidden * c.vocabulary) + 6 * c.layers * c.hidden * sequence;
  return {.flops = flops,
          .formula = fmt::format(
              "6 (layers x hidden x (4 hidden + 2 feed-forward) + hidden x vocabulary) + 6 layers x "
              "hidden x sequence = 6 x ({} x {} x {} + {} x {}) + 6 x {} x {} x {} = {} FLOP per "
              "token (causal half of attention, matrices only)",
              c.layers, c.hidden, 4 * c.hidden + 2 * c.feed_forward, c.hidden, c.vocabulary, c.layers,
              c.hidden, sequence, with_commas(flops))};
}

}  // namespace megalith
