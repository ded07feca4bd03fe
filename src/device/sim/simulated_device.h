// A device that computes nothing and counts: what a step would cost and, with measuring arenas, what memory
// it needs. Layers cannot tell it from a real one.
#pragma once

#include <memory>

#include "device/device.h"

namespace megalith::sim {

class SimulatedDevice : public Device {
 public:
  // Sum over every operation called so far.
  [[nodiscard]] virtual Cost total() const = 0;
};

std::unique_ptr<SimulatedDevice> make_device();

}  // namespace megalith::sim
