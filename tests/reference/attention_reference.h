// Attention in float64, as the definition reads: one softmax over the visible keys, no blocks, no tricks.
//
// Every result comes with the sum of the magnitudes that were added to make it, which bounds what rounding
// can do.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

namespace megalith::reference {

struct Attention {
  int sequences = 1, sequence = 1, heads = 1, kv_heads = 1, head_size = 2;
  int window = 0;  // keys a query sees, itself included; 0: all of its document so far
  double scale = 1;
  std::vector<double> q, k, v;               // [B*S][N*D], [B*S][G*D], [B*S][G*D]
  std::vector<std::int32_t> document_start;  // [B*S]
  // What dropout makes of a weight: (sequence, head, query, key) to 0 or the scale. Empty: 1.
  std::function<double(int, int, int, int)> factor;

  [[nodiscard]] double factor_of(int b, int n, int i, int j) const {
    return factor ? factor(b, n, i, j) : 1.0;
  }
  [[nodiscard]] std::size_t q_at(int b, int i, int n) const {
    return (static_cast<std::size_t>(b) * sequence + i) * heads * head_size +
           static_cast<std::size_t>(n) * head_size;
  }
  [[nodiscard]] std::size_t k_at(int b, int j, int n) const {
    return (static_cast<std::size_t>(b) * sequence + j) * kv_heads * head_size +
           static_cast<std::size_t>(n / (heads / kv_heads)) * head_size;
  }
  [[nodiscard]] int first_key(int b, int i) const {
    const int start = document_start[static_cast<std::size_t>(b) * sequence + i];
    return window == 0 ? start : std::max(start, i - window + 1);
  }
};

inline double dot(const std::vector<double>& a, std::size_t at_a, const std::vector<double>& b,
                  std::size_t at_b, int n) {
  double sum = 0;
  for (int d = 0; d < n; ++d) sum += a[at_a + d] * b[at_b + d];
  return sum;
}

// Softmax weights of one query, from its first key to itself; returns the log-sum-exp.
inline double weights_of(const Attention& a, int b, int n, int i, std::vector<double>& weights) {
  const int first = a.first_key(b, i);
  weights.assign(static_cast<std::size_t>(i - first + 1), 0.0);
  double max = -INFINITY;
  for (int j = first; j <= i; ++j) {
    double& s = weights[static_cast<std::size_t>(j - first)];
    s = dot(a.q, a.q_at(b, i, n), a.k, a.k_at(b, j, n), a.head_size) * a.scale;
    max = std::max(max, s);
  }
  double sum = 0;
  for (const double s : weights) sum += std::exp(s - max);
  const double log_sum_exp = max + std::log(sum);
  for (double& s : weights) s = std::exp(s - log_sum_exp);
  return log_sum_exp;
}

struct AttentionResult {
  std::vector<double> out, out_magnitude;  // [B*S][N*D]
  std::vector<double> log_sum_exp;         // [N][B*S]
};

inline AttentionResult forward(const Attention& a) {
  AttentionResult r;
  r.out.assign(a.q.size(), 0.0);
  r.out_magnitude.assign(a.q.size(), 0.0);
  const std::size_t tokens = static_cast<std::size_t>(a.sequences) * a.sequence;
  r.log_sum_exp.assign(tokens * a.heads, 0.0);
  std::vector<double> weights;
  for (int b = 0; b < a.sequences; ++b) {
    for (int n = 0; n < a.heads; ++n) {
      for (int i = 0; i < a.sequence; ++i) {
        r.log_sum_exp[n * tokens + static_cast<std::size_t>(b) * a.sequence + i] =
            weights_of(a, b, n, i, weights);
        const int first = a.first_key(b, i);
        for (int j = first; j <= i; ++j) {
          const double p = weights[static_cast<std::size_t>(j - first)] * a.factor_of(b, n, i, j);
          for (int d = 0; d < a.head_size; ++d) {
            const double term = p * a.v[a.k_at(b, j, n) + d];
            r.out[a.q_at(b, i, n) + d] += term;
            r.out_magnitude[a.q_at(b, i, n) + d] += std::fabs(term);
          }
        }
      }
    }
  }
  return r;
}

struct AttentionGradients {
  std::vector<double> dq, dk, dv;
  std::vector<double> dq_magnitude, dk_magnitude, dv_magnitude;
};

// `out` is what forward stored (rounded or not): the row sums of dout * out are taken from it.
inline AttentionGradients backward(const Attention& a, const std::vector<double>& out,
                                   const std::vector<double>& dout) {
  AttentionGradients g;
  for (auto* x : {&g.dq, &g.dq_magnitude}) x->assign(a.q.size(), 0.0);
  for (auto* x : {&g.dk, &g.dv, &g.dk_magnitude, &g.dv_magnitude}) x->assign(a.k.size(), 0.0);
  std::vector<double> weights;
  for (int b = 0; b < a.sequences; ++b) {
    for (int n = 0; n < a.heads; ++n) {
      for (int i = 0; i < a.sequence; ++i) {
        weights_of(a, b, n, i, weights);
        const std::size_t qi = a.q_at(b, i, n);
        const double delta = dot(dout, qi, out, qi, a.head_size);
        double delta_magnitude = 0;
        for (int d = 0; d < a.head_size; ++d) delta_magnitude += std::fabs(dout[qi + d] * out[qi + d]);
        const int first = a.first_key(b, i);
        for (int j = first; j <= i; ++j) {
          const std::size_t kj = a.k_at(b, j, n);
          const double p = weights[static_cast<std::size_t>(j - first)];
          const double factor = a.factor_of(b, n, i, j);
          double dp_magnitude = 0;
          for (int d = 0; d < a.head_size; ++d) dp_magnitude += std::fabs(dout[qi + d] * a.v[kj + d]);
          const double ds = p * (factor * dot(dout, qi, a.v, kj, a.head_size) - delta) * a.scale;
          const double ds_magnitude = p * (factor * dp_magnitude + delta_magnitude) * a.scale;
          for (int d = 0; d < a.head_size; ++d) {
            g.dq[qi + d] += ds * a.k[kj + d];
            g.dk[kj + d] += ds * a.q[qi + d];
            g.dv[kj + d] += p * factor * dout[qi + d];
            g.dq_magnitude[qi + d] += std::fabs(ds_magnitude * a.k[kj + d]);
            g.dk_magnitude[kj + d] += std::fabs(ds_magnitude * a.q[qi + d]);
            g.dv_magnitude[kj + d] += std::fabs(p * factor * dout[qi + d]);
          }
        }
      }
    }
  }
  return g;
}

}  // namespace megalith::reference
