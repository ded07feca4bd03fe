// What a run's arenas were predicted to take, by the layers on the simulated device, and what they took.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "train/norm_meter.h"
#include "train/trainer.h"

namespace megalith::app {

struct MemoryUse {
  std::string name;           // "parameters", "activations", "workspace", "norms", "resident"
  std::size_t predicted = 0;  // bytes
  std::size_t used = 0;       // bytes, the most so far
};

// Every arena, and last "resident": the most this process ever had in memory, with program, buffers and the
// touched part of the data, beside the sum of what was predicted. `norms` may be null.
std::vector<MemoryUse> memory_use(const Trainer& trainer, const NormMeter* norms);

// Before a run is made: throws WorldFailed where this machine's memory and swap together are too small for so
// many ranks of the layout as stand on it, each taken as the first one.
void require_memory(const TrainConfig& config, const Layout& layout, int ranks);

}  // namespace megalith::app
