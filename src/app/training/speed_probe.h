// How many steps fit into some minutes on this machine.
#pragma once

#include <cstdint>

#include "data/dataset.h"
#include "device/device.h"
#include "train/train_config.h"

namespace megalith::app {

// Trains a throw-away model for about five seconds and returns the steps that `seconds` of such steps hold,
// at least 10. The median step counts, so a hiccup of the machine does not. 0: interrupted, nothing is known.
std::int64_t steps_that_fit(const TrainConfig& config, Device& device, const Dataset& train, double seconds);

}  // namespace megalith::app
