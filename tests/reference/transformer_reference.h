// Every shape of transformer in float64, slow and obvious: what the model means. Parameters are looked up by
// name so that a finite difference can change one of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace megalith::reference {

struct TransformerInput {
  std::int64_t sequences = 0, sequence = 0;
  std::vector<std::int32_t> ids, targets, document_start, positions;
  std::vector<std::uint8_t> loss_mask;
};

enum class Act { gelu_tanh, gelu_erf, swiglu, geglu };

struct TransformerShape {
  int layers = 0, heads = 0, kv_heads = 0, head_size = 0;
  std::int64_t hidden = 0, feed_forward = 0, vocabulary = 0, window = 0;
  bool tied = true, biases = true, qkv_biases = false, rms = false, parallel = false, head_norms = false;
  Act act = Act::gelu_tanh;
  double norm_epsilon = 1e-5, softcap = 0;
  std::vector<double> frequencies;  // radians per position of each pair that turns; empty: learned positions
};

using Matrix = std::vector<double>;                  // row-major
using ParameterMap = std::map<std::string, Matrix>;  // logical rows only

class Transformer {
 public:
  Transformer(const TransformerShape& shape, const ParameterMap& parameters)
      : shape_(shape), parameters_(parameters) {}

  // Sum over counting tokens of -log p(target), in nats, and of z_loss times the squared log of the softmax's
  // sum.
  [[nodiscard]] double loss(const TransformerInput& input, double z_loss = 0) const {
    const std::vector<Scored> scored = score(input);
    double sum = 0;
    for (std::size_t t = 0; t < scored.size(); ++t) {
      if (input.loss_mask[t] != 0) sum += z_loss * std::pow(scored[t].log_sum, 2) - scored[t].log_probability;
    }
    return sum;
  }

  struct Scored {
    double log_probability = 0, log_sum = 0;
  };
  [[nodiscard]] std::vector<Scored> score(const TransformerInput& input) const {
    const std::int64_t tokens = input.sequences * input.sequence;
    const std::int64_t hidden = shape_.hidden;
    Matrix x(static_cast<std::size_t>(tokens * hidden));
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t j = 0; j < hidden; ++j) {
        at(x, t, j, hidden) = at(named("embedding.tokens"), input.ids[index(t)], j, hidden);
        if (!shape_.frequencies.empty()) continue;
        at(x, t, j, hidden) += at(named("embedding.positions"), input.positions[index(t)], j, hidden);
      }
    }
    for (int layer = 0; layer < shape_.layers; ++layer) add_block(x, layer, input);
    return head(norm(x, "head.norm"), input);
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  static double at(const Matrix& m, std::int64_t row, std::int64_t column, std::int64_t columns) {
    return m[index(row * columns + column)];
  }
  static double& at(Matrix& m, std::int64_t row, std::int64_t column, std::int64_t columns) {
    return m[index(row * columns + column)];
  }
  [[nodiscard]] const Matrix& named(const std::string& name) const { return parameters_.at(name); }

  // x W^T for a weight by name; biases are added apart.
  [[nodiscard]] Matrix product(const Matrix& x, const std::string& name, std::int64_t inputs,
                               std::int64_t outputs) const {
    const Matrix& weight = named(name + ".weight");
    const std::int64_t rows = static_cast<std::int64_t>(x.size()) / inputs;
    Matrix y(index(rows * outputs));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t n = 0; n < outputs; ++n) {
        double sum = 0;
        for (std::int64_t k = 0; k < inputs; ++k) sum += at(x, r, k, inputs) * at(weight, n, k, inputs);
        at(y, r, n, outputs) = sum;
      }
    }
    return y;
  }
  void add_bias(Matrix& x, const std::string& name) const {
    const Matrix& bias = named(name + ".bias");
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += bias[i % bias.size()];
  }
  [[nodiscard]] Matrix linear(const Matrix& x, const std::string& name, std::int64_t inputs,
                              std::int64_t outputs) const {
    Matrix y = product(x, name, inputs, outputs);
    if (shape_.biases) add_bias(y, name);
    return y;
  }

  [[nodiscard]] Matrix norm(const Matrix& x, const std::string& name) const {
    const std::int64_t hidden = shape_.hidden;
    Matrix y(x.size());
    for (std::int64_t r = 0; r < static_cast<std::int64_t>(x.size()) / hidden; ++r) {
      double mean = 0;
      double variance = 0;
      for (std::int64_t j = 0; j < hidden; ++j) mean += at(x, r, j, hidden) / static_cast<double>(hidden);
      if (shape_.rms) mean = 0;
      for (std::int64_t j = 0; j < hidden; ++j) {
        variance += std::pow(at(x, r, j, hidden) - mean, 2) / static_cast<double>(hidden);
      }
      for (std::int64_t j = 0; j < hidden; ++j) {
        at(y, r, j, hidden) = (at(x, r, j, hidden) - mean) / std::sqrt(variance + shape_.norm_epsilon) *
                                  named(name + ".gain")[index(j)] +
                              (shape_.biases ? named(name + ".bias")[index(j)] : 0);
      }
    }
    return y;
  }

  static double gelu_tanh(double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }

  // Activated [tokens, F] of [tokens, F] or, gated, of [tokens, gate F, up F].
  [[nodiscard]] Matrix activate(const Matrix& up) const {
    const std::int64_t width = shape_.feed_forward;
    const bool gated = shape_.act == Act::swiglu || shape_.act == Act::geglu;
    const std::int64_t columns = gated ? 2 * width : width;
    const std::int64_t rows = static_cast<std::int64_t>(up.size()) / columns;
    Matrix y(index(rows * width));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t j = 0; j < width; ++j) {
        const double x = at(up, r, j, columns);
        double value = gelu_tanh(x);
        if (shape_.act == Act::gelu_erf) value = 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
        if (shape_.act == Act::swiglu) value = x / (1 + std::exp(-x));
        at(y, r, j, width) = gated ? value * at(up, r, width + j, columns) : value;
      }
    }
    return y;
  }

  // Norms and turns one head in place, `head` pointing at its first feature.
  void prepare_head(double* head, const std::string& gain, std::int64_t position) const {
    if (shape_.head_norms) {
      double square = 0;
      for (int d = 0; d < shape_.head_size; ++d) square += head[d] * head[d] / shape_.head_size;
      for (int d = 0; d < shape_.head_size; ++d) {
        head[d] *= named(gain)[index(d)] / std::sqrt(square + shape_.norm_epsilon);
      }
    }
    const std::size_t half = shape_.frequencies.size();
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * shape_.frequencies[i];
      const double low = head[i];
      const double high = head[half + i];
      head[i] = low * std::cos(angle) - high * std::sin(angle);
      head[half + i] = high * std::cos(angle) + low * std::sin(angle);
    }
  }

  [[nodiscard]] Matrix attention(Matrix qkv, const std::string& prefix, const TransformerInput& input) const {
    const std::int64_t size = shape_.head_size;
    const std::int64_t width = shape_.heads * size;
    const std::int64_t columns = width + 2 * shape_.kv_heads * size;
    const std::int64_t tokens = input.sequences * input.sequence;
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t h = 0; h < shape_.heads + shape_.kv_heads; ++h) {
        const char* part = h < shape_.heads ? "attention.query_norm.gain" : "attention.key_norm.gain";
        prepare_head(&at(qkv, t, h * size, columns), prefix + part, input.positions[index(t)]);
      }
    }
    Matrix out(index(tokens * width));
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t begin = t / input.sequence * input.sequence;
      std::int64_t first = begin + input.document_start[index(t)];
      if (shape_.window > 0) first = std::max(first, t - shape_.window + 1);
      for (int head = 0; head < shape_.heads; ++head) {
        const std::int64_t key_column = width + head / (shape_.heads / shape_.kv_heads) * size;
        const std::int64_t value_column = key_column + shape_.kv_heads * size;
        std::vector<double> weight;
        double total = 0;
        for (std::int64_t key = first; key <= t; ++key) {
          double score = 0;
          for (std::int64_t d = 0; d < size; ++d) {
            score += at(qkv, t, head * size + d, columns) * at(qkv, key, key_column + d, columns);
          }
          weight.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
          total += weight.back();
        }
        for (std::int64_t key = first; key <= t; ++key) {
          for (std::int64_t d = 0; d < size; ++d) {
            at(out, t, head * size + d, width) +=
                weight[index(key - first)] / total * at(qkv, key, value_column + d, columns);
          }
        }
      }
    }
    return out;
  }

  [[nodiscard]] Matrix attention_part(const Matrix& x, const std::string& prefix,
                                      const TransformerInput& input) const {
    const std::int64_t columns = (shape_.heads + 2 * shape_.kv_heads) * shape_.head_size;
    Matrix qkv =
        product(norm(x, prefix + "attention.norm"), prefix + "attention.qkv", shape_.hidden, columns);
    if (shape_.biases || shape_.qkv_biases) add_bias(qkv, prefix + "attention.qkv");
    return attention(qkv, prefix, input);
  }
  [[nodiscard]] Matrix feed_forward_part(const Matrix& x, const std::string& prefix) const {
    const bool gated = shape_.act == Act::swiglu || shape_.act == Act::geglu;
    return activate(linear(norm(x, prefix + "feed_forward.norm"), prefix + "feed_forward.up", shape_.hidden,
                           (gated ? 2 : 1) * shape_.feed_forward));
  }

  void add_block(Matrix& x, int layer, const TransformerInput& input) const {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    const std::int64_t hidden = shape_.hidden;
    const std::int64_t width = shape_.heads * shape_.head_size;
    const Matrix context = attention_part(x, prefix, input);
    if (!shape_.parallel) {
      add(x, linear(context, prefix + "attention.out", width, hidden));
      add(x, linear(feed_forward_part(x, prefix), prefix + "feed_forward.down", shape_.feed_forward, hidden));
      return;
    }
    const Matrix activated = feed_forward_part(x, prefix);
    Matrix both;
    for (std::int64_t t = 0; t < input.sequences * input.sequence; ++t) {
      for (std::int64_t j = 0; j < width; ++j) both.push_back(at(context, t, j, width));
      for (std::int64_t j = 0; j < shape_.feed_forward; ++j)
        both.push_back(at(activated, t, j, shape_.feed_forward));
    }
    add(x, product(both, prefix + "out", width + shape_.feed_forward, hidden));
    if (!shape_.biases) return;
    add_bias(x, prefix + "attention.out");
    add_bias(x, prefix + "feed_forward.down");
  }

  static void add(Matrix& x, const Matrix& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  [[nodiscard]] std::vector<Scored> head(const Matrix& x, const TransformerInput& input) const {
    const Matrix& weight = named(shape_.tied ? "embedding.tokens" : "head.output.weight");
    std::vector<Scored> result;
    for (std::int64_t t = 0; t < input.sequences * input.sequence; ++t) {
      double total = 0;
      double target = 0;
      for (std::int64_t v = 0; v < shape_.vocabulary; ++v) {
        double logit = 0;
        for (std::int64_t j = 0; j < shape_.hidden; ++j) {
          logit += at(x, t, j, shape_.hidden) * at(weight, v, j, shape_.hidden);
        }
        if (shape_.softcap > 0) logit = shape_.softcap * std::tanh(logit / shape_.softcap);
        total += std::exp(logit);
        if (v == input.targets[index(t)]) target = logit;
      }
      result.push_back({target - std::log(total), std::log(total)});
    }
    return result;
  }

  TransformerShape shape_;
  const ParameterMap& parameters_;
};

}  // namespace megalith::reference
