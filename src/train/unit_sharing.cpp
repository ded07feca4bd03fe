#include "train/unit_sharing.h"

#include <vector>

namespace megalith {
namespace {

std::vector<ReducedRange> reduced_ranges(const Parameters& parameters) {
  std::vector<ReducedRange> ranges;
  for (const ParameterRange& range : parameters.ranges()) {
    ranges.push_back({.unit = range.unit,
                      .slot = range.slot,
                      .gradient = range.gradient,
                      .reduced = range.reduced,
                      .shard_begin = range.shard_begin});
  }
  return ranges;
}

std::vector<GatheredRange> gathered_ranges(const Parameters& parameters) {
  std::vector<GatheredRange> ranges;
  for (const ParameterRange& range : parameters.ranges()) {
    ranges.push_back(
        {.unit = range.unit, .slot = range.slot, .shard = range.rounded, .whole = range.working});
  }
  return ranges;
}

GradientReduction::Keep keep_gradients(ShardPlace shard) {
  using Keep = GradientReduction::Keep;
  return shard.shares(2) ? Keep::slots : shard.shares(1) ? Keep::shards : Keep::whole;
}

WeightGathering::Keep keep_weights(ShardPlace shard) {
  using Keep = WeightGathering::Keep;
  return shard.shares(3) ? Keep::slots : shard.shares(1) ? Keep::kept : Keep::nothing;
}

}  // namespace

UnitSharing::UnitSharing(Device& device, Communicator& data, const Parameters& parameters, FloatSums* floats)
    : device_(device),
      in_step_(parameters.shard().shares(2)),
      gradients_(data, keep_gradients(parameters.shard()), reduced_ranges(parameters), floats),
      weights_(data, keep_weights(parameters.shard()), gathered_ranges(parameters)) {}

}  // namespace megalith
