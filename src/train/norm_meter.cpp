#include "train/norm_meter.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/fixed_point.h"

namespace megalith {
namespace {

constexpr std::size_t kAlignment = 64;  // of the arena

std::size_t bytes_of_copies(const Parameters& parameters) {
  std::size_t bytes = 0;
  for (const Parameter& p : parameters.all()) {
    if (p.master.empty()) continue;
    const auto tensor = static_cast<std::size_t>(p.master.count()) * sizeof(float);
    bytes += (tensor + kAlignment - 1) / kAlignment * kAlignment;
  }
  return bytes;
}

// A sum of squares that notices what it cannot hold.
class Squares {
 public:
  void add(float value) {
    if (std::fabs(value) < 0x1p15f) {
      sum_.add(value);
    } else {
      in_range_ = false;  // NaN too
    }
  }
  void add(const SquareSum& sum) { sum_.add(sum); }
  [[nodiscard]] double norm() const {
    return in_range_ ? std::sqrt(sum_.value()) : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  SquareSum sum_;
  bool in_range_ = true;
};

struct LayerSquares {
  std::string layer;
  Squares parameter;
  Squares gradient;
  Squares update;
};

}  // namespace

std::string_view layer_of(std::string_view parameter) {
  constexpr std::string_view kLayers = "layers.";
  const std::size_t from = parameter.starts_with(kLayers) ? kLayers.size() : 0;
  return parameter.substr(0, parameter.find('.', from));
}

NormMeter::NormMeter(const Parameters& parameters)
    : parameters_(parameters), copies_("norms", bytes_of_copies(parameters)) {
  for (const Parameter& p : parameters.all()) {
    before_.push_back(p.master.empty() ? Tensor{} : copies_.allocate(DType::f32, {p.master.count()}));
  }
}

void NormMeter::before_step() {
  for (std::size_t t = 0; t < before_.size(); ++t) {
    const Parameter& p = parameters_.all()[t];
    if (p.master.empty()) continue;
    std::memcpy(before_[t].data, p.master.data, static_cast<std::size_t>(p.master.count()) * sizeof(float));
  }
}

std::vector<LayerNorms> NormMeter::after_step(Device& device, const GradientScale& scale) const {
  std::vector<LayerSquares> layers;
  for (std::size_t t = 0; t < before_.size(); ++t) {
    const Parameter& p = parameters_.all()[t];
    const std::string_view layer = layer_of(p.spec.name);
    if (layers.empty() || layers.back().layer != layer) {
      layers.push_back({.layer = std::string(layer), .parameter = {}, .gradient = {}, .update = {}});
    }
    LayerSquares& sums = layers.back();
    if (!p.counted || p.master.empty()) continue;
    const float* const after = p.master.as<float>();
    const float* const before = before_[t].as<float>();
    for (std::int64_t i = 0; i < p.master.count(); ++i) {  // padding is zero and adds nothing
      sums.parameter.add(after[i]);
      sums.update.add(after[i] - before[i]);
    }
    sums.gradient.add(device.optimizer().squared_norm({.gradient = p.reduced, .scale = scale}));
  }
  std::vector<LayerNorms> norms;
  for (const LayerSquares& sums : layers) {
    norms.push_back({.layer = sums.layer,
                     .parameter = sums.parameter.norm(),
                     .gradient = sums.gradient.norm(),
                     .update = sums.update.norm()});
  }
  return norms;
}

}  // namespace megalith
