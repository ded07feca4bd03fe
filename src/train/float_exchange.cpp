#include "train/float_exchange.h"

#include <algorithm>

#include "layers/unit_gate.h"

namespace megalith {
namespace {

FloatSums::Shape shape_over_data(const Parameters& parameters, const Mesh& mesh) {
  FloatSums::Shape shape{.ranks = mesh.layout().data, .to_shards = parameters.shard().shares(1)};
  if (shape.ranks == 1) return shape;
  for (const ParameterRange& range : parameters.ranges()) {
    if (range.gradient.dtype == DType::f32) shape.longest = std::max(shape.longest, range.count);
  }
  return shape;
}

FloatSums::Shape shape_over_ends(const TrainConfig& config, const Parameters& parameters, const Mesh& mesh) {
  FloatSums::Shape shape{.ranks = 2};
  if (mesh.ends() == nullptr || !config.model.tied_output) return shape;
  for (const Parameter& p : parameters.all()) {
    if (p.spec.unit == kTokenTableUnit && p.reduced.dtype == DType::f32)
      shape.longest = std::max(shape.longest, p.reduced.count());
  }
  return shape;
}

std::size_t bytes_of(const FloatSums::Shape& shape) {
  return shape.longest == 0 ? 0 : FloatSums::bytes(shape);
}

}  // namespace

std::size_t FloatExchange::bytes(const TrainConfig& config, const Parameters& parameters, const Mesh& mesh) {
  return bytes_of(shape_over_data(parameters, mesh)) + bytes_of(shape_over_ends(config, parameters, mesh));
}

FloatExchange::FloatExchange(const TrainConfig& config, const Parameters& parameters, const Mesh& mesh,
                             Device& device, Verdict& verdict)
    : arena_("sums of gradients", bytes(config, parameters, mesh)) {
  const FloatSums::Limits limits{.shift = gradient_shift(config.numerics.batch_tokens_max),
                                 .verdict = &verdict};
  if (const FloatSums::Shape shape = shape_over_data(parameters, mesh); shape.longest > 0)
    data_.emplace(mesh.data(), device, arena_, shape, limits);
  if (const FloatSums::Shape shape = shape_over_ends(config, parameters, mesh); shape.longest > 0)
    ends_.emplace(*mesh.ends(), device, arena_, shape, limits);
}

}  // namespace megalith
