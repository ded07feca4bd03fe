// Euclidean norms of parameters, mean gradients and updates, per layer. Squares are summed as integers
// (SquareSum), so a norm is a function of the bits of what it measures, whatever the layout; and it only
// reads, so no bit of training depends on whether norms are measured.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/arena.h"
#include "device/device.h"
#include "layers/parameters.h"

namespace megalith {

// Of all tensors of one layer together. NaN where an element is 2^15 or more, or not finite.
struct LayerNorms {
  std::string layer;     // "embedding", "layers.0", ..., "head"
  double parameter = 0;  // after the step
  double gradient = 0;   // of the mean over the loss tokens, before clipping; frozen tensors count too
  double update = 0;     // what the step added: clipping, moments, decay and learning rate included
};

class NormMeter {
 public:
  // Takes a copy's memory: 4 bytes per parameter. `parameters` are in training and outlive the meter.
  explicit NormMeter(const Parameters& parameters);

  void before_step();  // remembers the parameters
  // REQUIRES: before_step() was called before the step, and the step's gradients are still there.
  [[nodiscard]] std::vector<LayerNorms> after_step(Device& device, const GradientScale& scale) const;

  [[nodiscard]] std::size_t bytes() const { return copies_.capacity(); }

 private:
  const Parameters& parameters_;
  Arena copies_;
  std::vector<Tensor> before_;  // in the order of the parameters
};

// "layers.3" of "layers.3.attention.qkv.weight", "head" of "head.norm.gain".
std::string_view layer_of(std::string_view parameter);

}  // namespace megalith
