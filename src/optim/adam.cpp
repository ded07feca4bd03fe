#include "optim/adam.h"

#include <array>
#include <cmath>
#include <utility>

#include "core/elementary_double.h"

namespace megalith {

SquareSum sum_over(Communicator& ranks, const SquareSum& mine) {
  std::array<std::int64_t, 4> words = mine.words();
  ranks.wait(ranks.all_reduce(words, IntegerReduction::sum));
  SquareSum sum;
  for (std::size_t i = 0; i < words.size(); ++i) sum.add_scaled(words[i], static_cast<int>(32 * i));
  return sum;
}

Adam::Adam(std::vector<OptimizedTensor> tensors, const AdamSettings& settings)
    : tensors_(std::move(tensors)), settings_(settings) {
  std::erase_if(tensors_, [](const OptimizedTensor& tensor) { return tensor.rate_factor == 0; });
}

double Adam::gradient_norm(Device& device, const GradientScale& scale, Communicator& world) const {
  SquareSum mine;
  for (const OptimizedTensor& tensor : tensors_) {
    if (tensor.counted)
      mine.add(device.optimizer().squared_norm({.gradient = tensor.gradient, .scale = scale}));
  }
  return std::sqrt(sum_over(world, mine).value());
}

void Adam::update(Device& device, const GradientScale& scale, double norm, double rate,
                  std::int64_t update) const {
  const bool clipped = settings_.clip > 0 && norm > settings_.clip;
  const float clip = clipped ? static_cast<float>(settings_.clip / norm) : 1.0f;
  const auto bias_correction = [update](double beta) {
    return static_cast<float>(1.0 / (1.0 - exact_pow_integer(beta, update)));
  };
  for (const OptimizedTensor& tensor : tensors_) {
    device.optimizer().update({.gradient = tensor.gradient,
                               .master = tensor.master,
                               .m = tensor.first_moment,
                               .v = tensor.second_moment,
                               .working = tensor.working,
                               .scale = scale,
                               .clip = clip,
                               .rate = static_cast<float>(rate * tensor.rate_factor),
                               .beta1 = static_cast<float>(settings_.beta1),
                               .beta2 = static_cast<float>(settings_.beta2),
                               .epsilon = static_cast<float>(settings_.epsilon),
                               .decay = tensor.decay ? static_cast<float>(settings_.weight_decay) : 0.0f,
                               .bias_correction1 = bias_correction(settings_.beta1),
                               .bias_correction2 = bias_correction(settings_.beta2)});
  }
}

}  // namespace megalith
