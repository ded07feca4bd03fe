// What numerics.mode "exact" costs a config on this machine: weight gradients at each legal grain beside
// those of "fast", measured in a second.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "device/device.h"
#include "train/train_config.h"

namespace megalith::app {

// Grains that the config's micro batch may be cut into, from 256 tokens on where there are such, ascending.
std::vector<std::int64_t> legal_grains(const TrainConfig& config);

struct ExactPrice {
  struct OfGrain {
    std::int64_t grain = 0;
    double seconds = 0;  // of a weight gradient
  };
  std::int64_t tokens = 0, outputs = 0, inputs = 0;  // of the product that was timed
  double fast_seconds = 0;
  double share = 0;         // of a step's operations that weight gradients are
  std::int64_t chosen = 0;  // the config's grain
  std::vector<OfGrain> grains;

  // Time over that of fast, less 1.
  [[nodiscard]] double of_product(const OfGrain& grain) const { return grain.seconds / fast_seconds - 1; }
  // Where the rest of a step runs at the speed of these products.
  [[nodiscard]] double of_step(const OfGrain& grain) const { return share * of_product(grain); }
  // The fastest.
  [[nodiscard]] const OfGrain& best() const;
};

ExactPrice measure_exact_price(const TrainConfig& config, Device& device);
std::string describe(const ExactPrice& price);
nlohmann::ordered_json json_of(const ExactPrice& price);

}  // namespace megalith::app
