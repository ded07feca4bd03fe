// How fast this machine trains a model, and how many steps fit into some minutes.
#pragma once

#include <cstdint>

#include "comm/mesh.h"
#include "data/dataset.h"
#include "device/device.h"
#include "train/train_config.h"

namespace megalith::app {

// Trains a throw-away model for about five seconds. The median step counts, so a hiccup of the machine does
// not. 0: interrupted, nothing is known. All ranks of the mesh do it together and get what the first
// measures.
double seconds_per_sequence(const TrainConfig& config, Device& device, const Dataset& train,
                            const Mesh& mesh);

// The steps that `seconds` hold at that speed, at least 10. 0: interrupted, nothing is known.
std::int64_t steps_that_fit(const TrainConfig& config, Device& device, const Dataset& train, const Mesh& mesh,
                            double seconds);

}  // namespace megalith::app
