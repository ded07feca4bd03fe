// AdamW over fixed-point gradients: global norm, clipping, weight-decay groups. Sums in the gradients are
// divided by the number of loss tokens here and nowhere else.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "device/device.h"

namespace megalith {

struct AdamSettings {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip = 1.0;  // largest global norm; 0 turns clipping off
};

// What this rank owns of one tensor: all of it, or a shard's elements. Dense, equal counts.
struct OptimizedTensor {
  Tensor gradient;       // i64, summed over all ranks
  Tensor master;         // f32
  Tensor first_moment;   // f32
  Tensor second_moment;  // f32
  Tensor working;        // compute dtype, or empty when the model uses the master itself
  bool decay = false;
  double rate_factor = 1;  // of the learning rate; 0: frozen, and no part of the gradient norm
  bool counted = true;     // in the gradient norm by this rank, not by another that owns it too
};

// Collective.
SquareSum sum_over(Communicator& ranks, const SquareSum& mine);

class Adam {
 public:
  Adam(std::vector<OptimizedTensor> tensors, const AdamSettings& settings);

  // Collective: Euclidean norm of the mean gradient, each logical parameter once; exact integers up to the
  // square root.
  [[nodiscard]] double gradient_norm(Device& device, const GradientScale& scale, Communicator& world) const;
  // One update at learning rate `rate`. `update` counts from 1. REQUIRES: norm is finite.
  void update(Device& device, const GradientScale& scale, double norm, double rate,
              std::int64_t update) const;

 private:
  std::vector<OptimizedTensor> tensors_;
  AdamSettings settings_;
};

}  // namespace megalith
