#include "train/norm_meter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "core/fixed_point.h"
#include "layers/unit_gate.h"

namespace megalith {
namespace {

constexpr std::size_t kAlignment = 64;  // of the arena

std::size_t bytes_of_copies(const Parameters& parameters) {
  std::size_t bytes = 0;
  for (const Parameter& p : parameters.all()) {
    if (p.master.empty()) continue;
    bytes += (p.master.size_in_bytes() + kAlignment - 1) / kAlignment * kAlignment;
  }
  return bytes;
}

// A sum of squares that notices what it cannot hold.
class Squares {
 public:
  static constexpr std::size_t kWords = 5;

  void add(float value) {
    if (std::fabs(value) < 0x1p15f) {
      sum_.add(value);
    } else {
      out_of_range_ = 1;  // NaN too
    }
  }
  void add(const SquareSum& sum) { sum_.add(sum); }
  void add_words(std::span<const std::int64_t, kWords> words) {
    for (std::size_t i = 0; i + 1 < kWords; ++i) sum_.add_scaled(words[i], static_cast<int>(32 * i));
    out_of_range_ += words[kWords - 1];
  }
  void put_words(std::span<std::int64_t, kWords> words) const {
    std::ranges::copy(sum_.words(), words.begin());
    words[kWords - 1] = out_of_range_;
  }
  [[nodiscard]] double norm() const {
    return out_of_range_ == 0 ? std::sqrt(sum_.value()) : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  SquareSum sum_;
  std::int64_t out_of_range_ = 0;
};

struct LayerSquares {
  std::array<Squares, 3> squares;  // of parameters, gradients, updates
};

// The embedding, the blocks, the head.
std::size_t layer_of(int unit) {
  return unit <= kEmbeddingUnit ? 0 : static_cast<std::size_t>(unit - kEmbeddingUnit);
}

std::string name_of_layer(std::size_t layer, std::size_t layers) {
  if (layer == 0) return "embedding";
  return layer + 1 == layers ? "head" : fmt::format("layers.{}", layer - 1);
}

// Over all ranks.
void sum_up(Communicator& world, std::vector<LayerSquares>& layers) {
  std::vector<std::int64_t> words(layers.size() * 3 * Squares::kWords);
  const auto part = [&](std::size_t layer, std::size_t which) {
    return std::span<std::int64_t, Squares::kWords>(&words[(3 * layer + which) * Squares::kWords],
                                                    Squares::kWords);
  };
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    for (std::size_t which = 0; which < 3; ++which)
      layers[layer].squares[which].put_words(part(layer, which));
  }
  world.wait(world.all_reduce(words, IntegerReduction::sum));
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    for (std::size_t which = 0; which < 3; ++which) {
      layers[layer].squares[which] = {};
      layers[layer].squares[which].add_words(part(layer, which));
    }
  }
}

}  // namespace

NormMeter::NormMeter(const Parameters& parameters, std::int64_t layers, Communicator& world)
    : parameters_(parameters), layers_(layers), world_(world), copies_("norms", bytes_of_copies(parameters)) {
  for (const Parameter& p : parameters.all()) {
    before_.push_back(p.master.empty() ? Tensor{} : copies_.allocate(DType::f32, {p.master.count()}));
  }
}

void NormMeter::before_step() {
  for (std::size_t t = 0; t < before_.size(); ++t) {
    const Parameter& p = parameters_.all()[t];
    if (p.master.empty()) continue;
    std::memcpy(before_[t].data, p.master.data, p.master.size_in_bytes());
  }
}

std::vector<LayerNorms> NormMeter::after_step(Device& device, const GradientScale& scale) const {
  std::vector<LayerSquares> layers(static_cast<std::size_t>(layers_) + 2);
  for (std::size_t t = 0; t < before_.size(); ++t) {
    const Parameter& p = parameters_.all()[t];
    if (!p.counted || p.master.empty()) continue;
    auto& [parameter, gradient, update] = layers[layer_of(p.spec.unit)].squares;
    const float* const after = p.master.as<float>();
    const float* const before = before_[t].as<float>();
    for (std::int64_t i = 0; i < p.master.count(); ++i) {  // padding is zero and adds nothing
      parameter.add(after[i]);
      update.add(after[i] - before[i]);
    }
    gradient.add(device.optimizer().squared_norm({.gradient = p.reduced, .scale = scale}));
  }
  sum_up(world_, layers);
  std::vector<LayerNorms> norms;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const auto& [parameter, gradient, update] = layers[layer].squares;
    norms.push_back({.layer = name_of_layer(layer, layers.size()),
                     .parameter = parameter.norm(),
                     .gradient = gradient.norm(),
                     .update = update.norm()});
  }
  return norms;
}

}  // namespace megalith
