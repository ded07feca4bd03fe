// The GPT-2 shape in float64, slow and obvious: what the model means. Parameters are looked up by name so
// that a finite difference can change one of them.
#pragma once

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

struct TransformerShape {
  int layers = 0, heads = 0;
  std::int64_t hidden = 0, feed_forward = 0, vocabulary = 0;
  bool tied = true, biases = true, gelu_tanh = true;
  double norm_epsilon = 1e-5;
};

using Matrix = std::vector<double>;                  // row-major
using ParameterMap = std::map<std::string, Matrix>;  // logical rows only

class Transformer {
 public:
  Transformer(const TransformerShape& shape, const ParameterMap& parameters)
      : shape_(shape), parameters_(parameters) {}

  // Sum over counting tokens of -log p(target), in nats.
  [[nodiscard]] double loss(const TransformerInput& input) const {
    const std::vector<double> log_probability = log_probabilities(input);
    double sum = 0;
    for (std::size_t t = 0; t < log_probability.size(); ++t) {
      if (input.loss_mask[t] != 0) sum -= log_probability[t];
    }
    return sum;
  }

  [[nodiscard]] std::vector<double> log_probabilities(const TransformerInput& input) const {
    const std::int64_t tokens = input.sequences * input.sequence;
    const std::int64_t hidden = shape_.hidden;
    Matrix x(static_cast<std::size_t>(tokens * hidden));
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t j = 0; j < hidden; ++j) {
        at(x, t, j, hidden) = at(named("embedding.tokens"), input.ids[index(t)], j, hidden) +
                              at(named("embedding.positions"), input.positions[index(t)], j, hidden);
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

  [[nodiscard]] Matrix linear(const Matrix& x, const std::string& name, std::int64_t inputs,
                              std::int64_t outputs) const {
    const Matrix& weight = named(name + ".weight");
    const std::int64_t rows = static_cast<std::int64_t>(x.size()) / inputs;
    Matrix y(index(rows * outputs));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t n = 0; n < outputs; ++n) {
        double sum = shape_.biases && name != "head.output" ? named(name + ".bias")[index(n)] : 0;
        for (std::int64_t k = 0; k < inputs; ++k) sum += at(x, r, k, inputs) * at(weight, n, k, inputs);
        at(y, r, n, outputs) = sum;
      }
    }
    return y;
  }

  [[nodiscard]] Matrix norm(const Matrix& x, const std::string& name) const {
    const std::int64_t hidden = shape_.hidden;
    Matrix y(x.size());
    for (std::int64_t r = 0; r < static_cast<std::int64_t>(x.size()) / hidden; ++r) {
      double mean = 0;
      double variance = 0;
      for (std::int64_t j = 0; j < hidden; ++j) mean += at(x, r, j, hidden) / static_cast<double>(hidden);
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

  [[nodiscard]] double gelu(double x) const {
    if (!shape_.gelu_tanh) return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }

  [[nodiscard]] Matrix attention(const Matrix& qkv, const TransformerInput& input) const {
    const std::int64_t hidden = shape_.hidden;
    const std::int64_t size = hidden / shape_.heads;
    const std::int64_t tokens = input.sequences * input.sequence;
    Matrix out(index(tokens * hidden));
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t begin = t / input.sequence * input.sequence;
      const std::int64_t first = begin + input.document_start[index(t)];
      for (int head = 0; head < shape_.heads; ++head) {
        std::vector<double> weight;
        double total = 0;
        for (std::int64_t key = first; key <= t; ++key) {
          double score = 0;
          for (std::int64_t d = 0; d < size; ++d) {
            score +=
                at(qkv, t, head * size + d, 3 * hidden) * at(qkv, key, hidden + head * size + d, 3 * hidden);
          }
          weight.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
          total += weight.back();
        }
        for (std::int64_t key = first; key <= t; ++key) {
          for (std::int64_t d = 0; d < size; ++d) {
            at(out, t, head * size + d, hidden) +=
                weight[index(key - first)] / total * at(qkv, key, 2 * hidden + head * size + d, 3 * hidden);
          }
        }
      }
    }
    return out;
  }

  void add_block(Matrix& x, int layer, const TransformerInput& input) const {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    const std::int64_t hidden = shape_.hidden;
    const Matrix qkv =
        linear(norm(x, prefix + "attention.norm"), prefix + "attention.qkv", hidden, 3 * hidden);
    add(x, linear(attention(qkv, input), prefix + "attention.out", hidden, hidden));
    Matrix up = linear(norm(x, prefix + "feed_forward.norm"), prefix + "feed_forward.up", hidden,
                       shape_.feed_forward);
    for (double& value : up) value = gelu(value);
    add(x, linear(up, prefix + "feed_forward.down", shape_.feed_forward, hidden));
  }

  static void add(Matrix& x, const Matrix& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  [[nodiscard]] std::vector<double> head(const Matrix& x, const TransformerInput& input) const {
    const Matrix& weight = named(shape_.tied ? "embedding.tokens" : "head.output.weight");
    std::vector<double> result;
    for (std::int64_t t = 0; t < input.sequences * input.sequence; ++t) {
      double total = 0;
      double target = 0;
      for (std::int64_t v = 0; v < shape_.vocabulary; ++v) {
        double logit = 0;
        for (std::int64_t j = 0; j < shape_.hidden; ++j) {
          logit += at(x, t, j, shape_.hidden) * at(weight, v, j, shape_.hidden);
        }
        total += std::exp(logit);
        if (v == input.targets[index(t)]) target = logit;
      }
      result.push_back(target - std::log(total));
    }
    return result;
  }

  TransformerShape shape_;
  const ParameterMap& parameters_;
};

}  // namespace megalith::reference
