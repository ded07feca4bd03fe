#include "layers/rotary_table.h"

#include <algorithm>
#include <numbers>

#include "core/elementary_double.h"

namespace megalith {
namespace {

Arena table_arena(const RotaryShape& shape, std::int64_t positions, bool measuring) {
  Arena measured = Arena::measuring("rotary table");
  if (shape.features > 0) static_cast<void>(measured.allocate(DType::f32, {positions, shape.features}));
  if (measuring) return Arena::measuring(measured.name());
  return {measured.name(), measured.peak()};
}

double scaled(const RotaryShape& shape, double frequency) {
  if (shape.scaling == RotaryScaling::none) return frequency;
  if (shape.scaling == RotaryScaling::linear) return frequency / shape.factor;
  const double wave = 2 * std::numbers::pi / frequency;  // positions
  const double turns = static_cast<double>(shape.original_sequence) / wave;
  const double kept =
      std::clamp((turns - shape.low_frequency) / (shape.high_frequency - shape.low_frequency), 0.0, 1.0);
  return (1 - kept) * frequency / shape.factor + kept * frequency;
}

}  // namespace

float rotary_frequency(const RotaryShape& shape, int pair) {
  const double exponent = -2.0 * pair / shape.features;
  return static_cast<float>(scaled(shape, exact_exp(exponent * exact_log(shape.base))));
}

RotaryTable::RotaryTable(const RotaryShape& shape, std::int64_t positions, bool measuring)
    : arena_(table_arena(shape, positions, measuring)) {
  if (shape.features == 0) return;
  table_ = arena_.allocate(DType::f32, {positions, shape.features});
  if (measuring) return;
  const int half = shape.features / 2;
  for (int i = 0; i < half; ++i) {
    const float frequency = rotary_frequency(shape, i);
    for (std::int64_t p = 0; p < positions; ++p) {
      const float angle = static_cast<float>(p) * frequency;
      const double turns = static_cast<double>(angle) / (2 * std::numbers::pi);
      table_.row<float>(p)[i] = static_cast<float>(exact_cos_two_pi(turns));
      table_.row<float>(p)[half + i] = static_cast<float>(exact_sin_two_pi(turns));
    }
  }
}

}  // namespace megalith
