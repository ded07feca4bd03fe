// Row-wise operations in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace megalith::reference {

using Row = std::vector<double>;

inline Row layer_norm(const Row& x, const Row& gain, const Row& bias, double epsilon) {
  const double count = static_cast<double>(x.size());
  double mean = 0;
  double variance = 0;
  for (const double v : x) mean += v / count;
  for (const double v : x) variance += (v - mean) * (v - mean) / count;
  Row y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    y.push_back((x[i] - mean) / std::sqrt(variance + epsilon) * gain[i] + bias[i]);
  }
  return y;
}

inline Row rms_norm(const Row& x, const Row& gain, double epsilon) {
  double square = 0;
  for (const double v : x) square += v * v / static_cast<double>(x.size());
  Row y;
  for (std::size_t i = 0; i < x.size(); ++i) y.push_back(x[i] / std::sqrt(square + epsilon) * gain[i]);
  return y;
}

// One head: the first cosines.size() * 2 features turn as pairs (i, i + half).
inline Row rotate(const Row& x, const Row& cosines, const Row& sines) {
  Row y = x;
  const std::size_t half = cosines.size();
  for (std::size_t i = 0; i < half; ++i) {
    y[i] = x[i] * cosines[i] - x[half + i] * sines[i];
    y[half + i] = x[half + i] * cosines[i] + x[i] * sines[i];
  }
  return y;
}

inline double silu(double x) {
  return x / (1 + std::exp(-x));
}

inline double gelu(bool use_erf, double x) {
  if (use_erf) return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// Central difference of f at x.
template <class F>
double slope(F f, double x, double step = 1e-5) {
  return (f(x + step) - f(x - step)) / (2 * step);
}

inline double log_softmax(const Row& logits, std::size_t target) {
  double greatest = logits[0];
  for (const double z : logits) greatest = std::max(greatest, z);
  double sum = 0;
  for (const double z : logits) sum += std::exp(z - greatest);
  return logits[target] - greatest - std::log(sum);
}

}  // namespace megalith::reference
