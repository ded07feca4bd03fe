// What data ranks share of each unit, on its way: gradients are summed as they are done, weights gathered
// before they are used.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "device/device.h"
#include "layers/parameters.h"
#include "layers/unit_gate.h"
#include "optim/gradient_reduction.h"
#include "optim/weight_gathering.h"

namespace megalith {

class UnitSharing final : public UnitGate {
 public:
  // All outlive it. floats: what sums gradients in f32, null where there are none.
  UnitSharing(Device& device, Communicator& data, const Parameters& parameters, FloatSums* floats);

  // Whether each data rank must have as many micro batches, so that all take part in the same operations.
  [[nodiscard]] bool in_step() const { return in_step_; }

  void begin_step(std::int64_t micro_batches) { gradients_.begin_step(device_, micro_batches); }
  // The summed gradients are there.
  void finish_gradients() { gradients_.finish(); }
  // Before the optimizer writes, and before anybody reads weights without the gate.
  void finish_weights() { weights_.finish(); }
  // The optimizer, or a checkpoint, wrote.
  void weights_updated() { weights_.updated(); }

  void before_use(int unit) override { weights_.before_use(unit); }
  void after_use(int unit) override { weights_.after_use(unit); }
  void before_gradients(int unit) override { gradients_.before_gradients(device_, unit); }
  void gradients_added(int unit, bool last) override { gradients_.gradients_added(unit, last); }
  void step_added(int unit) override { gradients_.step_added(unit); }

 private:
  Device& device_;
  bool in_step_;
  GradientReduction gradients_;
  WeightGathering weights_;
};

}  // namespace megalith
