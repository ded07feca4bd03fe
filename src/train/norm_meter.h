// Euclidean norms of parameters, mean gradients and updates, per layer. Squares are summed as integers
// (SquareSum), so a norm is a function of the bits of what it measures, whatever the layout; and it only
// reads, so no bit of training depends on whether norms are measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
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
  // Takes a copy's memory: 4 bytes per parameter that the rank owns. `parameters`, this rank's of a model of
  // so many layers, are in training; they and the ranks outlive the meter.
  NormMeter(const Parameters& parameters, std::int64_t layers, Communicator& world);

  void before_step();  // remembers the parameters
  // Collective; of the whole model. REQUIRES: before_step() was called before the step, and the step's
  // gradients are still there.
  [[nodiscard]] std::vector<LayerNorms> after_step(Device& device, const GradientScale& scale) const;

  [[nodiscard]] std::size_t bytes() const { return copies_.capacity(); }

 private:
  const Parameters& parameters_;
  std::int64_t layers_;
  Communicator& world_;
  Arena copies_;
  std::vector<Tensor> before_;  // in the order of the parameters
};

}  // namespace megalith
