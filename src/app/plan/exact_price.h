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
  int tries = 0;  // of each, of which the best counts

  // Time over that of fast, less 1.
  [[nodiscard]] double of_product(const OfGrain& grain) const { return grain.seconds / fast_seconds - 1; }
  // Where the rest of a step runs at the speed of these products.
  [[nodiscard]] double of_step(const OfGrain& grain) const { return share * of_product(grain); }
  // The fastest.
  [[nodiscard]] const OfGrain& best() const;
  // Whether the config's costs less than kAimedShare of a step; one of more tokens than were measured costs
  // no more than the largest.
  static constexpr double kAimedShare = 0.1;
  [[nodiscard]] bool chosen_is_cheap() const;
  // The smallest that costs less, which the most layouts can have; null where none does.
  [[nodiscard]] const OfGrain* smallest_cheap() const;
};

// Of the config's grain, and of those from 256 tokens on where there are such. A second, where a product does
// not take longer.
ExactPrice measure_exact_price(const TrainConfig& config, Device& device);
std::string describe(const ExactPrice& price);
nlohmann::ordered_json json_of(const ExactPrice& price);

}  // namespace megalith::app
