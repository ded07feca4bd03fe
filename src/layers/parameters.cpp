#include "layers/parameters.h"

#include <algorithm>

#include "core/elementary_double.h"
#include "core/philox.h"
#include "core/thread_pool.h"

namespace megalith {
namespace {

// One function lays out for real and for measuring, so the arenas fit exactly.
void lay_out(std::vector<Parameter>& parameters, DType compute, bool training, Arena& weights,
             Arena& gradients, Arena& moments) {
  std::uint64_t first_index = 0;
  for (Parameter& p : parameters) {
    const std::int64_t rows = p.spec.padded_rows;
    const std::int64_t columns = p.spec.columns;
    p.first_index = first_index;
    first_index += static_cast<std::uint64_t>(p.logical_count());
    const bool rounded = p.spec.is_matrix && compute != DType::f32;
    if (training || !rounded) p.master = weights.allocate(DType::f32, {rows, columns});
    p.working = rounded ? weights.allocate(compute, {rows, columns}) : p.master;
    if (!training) continue;
    p.gradient = gradients.allocate(DType::i64, {rows, columns});
    p.first_moment = moments.allocate(DType::f32, {rows, columns});
    p.second_moment = moments.allocate(DType::f32, {rows, columns});
  }
}

enum class Kind : std::uint8_t { weights, gradients, moments };

Arena make_arena(std::vector<Parameter> parameters, DType compute, Parameters::Use use, Kind kind) {
  Arena weights = Arena::measuring("weights");
  Arena gradients = Arena::measuring("gradients");
  Arena moments = Arena::measuring("optimizer moments");
  lay_out(parameters, compute, use != Parameters::Use::inference, weights, gradients, moments);
  Arena& measured = kind == Kind::weights ? weights : kind == Kind::gradients ? gradients : moments;
  if (use == Parameters::Use::measuring) return Arena::measuring(measured.name());
  return {measured.name(), measured.peak()};
}

std::vector<Parameter> from_specs(std::vector<ParameterSpec> specs) {
  std::vector<Parameter> parameters;
  parameters.reserve(specs.size());
  for (ParameterSpec& spec : specs) {
    MEGALITH_CHECK(spec.padded_rows >= spec.rows && spec.columns > 0, "{}", spec.name);
    parameters.emplace_back().spec = std::move(spec);
  }
  return parameters;
}

// Two normal deviates from one Philox call, for logical indices 2i and 2i + 1.
void normal_pair(std::uint64_t pair, PhiloxKey key, double deviates[2]) {
  const PhiloxCounter draw = philox({static_cast<std::uint32_t>(pair), static_cast<std::uint32_t>(pair >> 32),
                                     static_cast<std::uint32_t>(RandomUse::initial_weights), 0},
                                    key);
  const double uniform = 1.0 - to_unit_double(draw[0], draw[1]);  // (0, 1]
  const double radius = std::sqrt(-2.0 * exact_log(uniform));
  const double angle = to_unit_double(draw[2], draw[3]);
  deviates[0] = radius * exact_cos_two_pi(angle);
  deviates[1] = radius * exact_sin_two_pi(angle);
}

void fill_normal(const Parameter& p, std::uint64_t seed, std::int64_t begin, std::int64_t end) {
  const PhiloxKey key = philox_key(seed);
  float* out = p.master.as<float>();
  double deviates[2];
  std::uint64_t drawn_pair = ~std::uint64_t{0};
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint64_t index = p.first_index + static_cast<std::uint64_t>(i);
    if (index / 2 != drawn_pair) {
      drawn_pair = index / 2;
      normal_pair(drawn_pair, key, deviates);
    }
    out[i] = static_cast<float>(deviates[index % 2] * p.spec.standard_deviation);
  }
}

}  // namespace

Parameters::Parameters(std::vector<ParameterSpec> specs, DType compute, Use use)
    : use_(use),
      parameters_(from_specs(std::move(specs))),
      weights_(make_arena(parameters_, compute, use, Kind::weights)),
      gradients_(make_arena(parameters_, compute, use, Kind::gradients)),
      moments_(make_arena(parameters_, compute, use, Kind::moments)) {
  lay_out(parameters_, compute, use != Use::inference, weights_, gradients_, moments_);
}

const Parameter& Parameters::named(const std::string& name) const {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const Parameter& p) { return p.spec.name == name; });
  MEGALITH_CHECK(found != parameters_.end(), "no parameter {}", name);
  return *found;
}

std::int64_t Parameters::logical_count() const {
  std::int64_t count = 0;
  for (const Parameter& p : parameters_) count += p.logical_count();
  return count;
}

std::size_t Parameters::bytes() const {
  return weights_.peak() + gradients_.peak() + moments_.peak();
}

void Parameters::initialise(std::uint64_t seed, int num_threads) {
  constexpr std::int64_t kTaskElements = 1 << 14;
  ThreadPool pool(num_threads);
  for (const Parameter& p : parameters_) {
    float* out = p.master.as<float>();
    switch (p.spec.initial) {
      case Initial::zero:
        std::fill_n(out, p.master.count(), 0.0f);
        break;
      case Initial::one:
        std::fill_n(out, p.logical_count(), 1.0f);
        break;
      case Initial::normal:
        pool.for_range(p.logical_count(), kTaskElements,
                       [&](std::int64_t begin, std::int64_t end, int) { fill_normal(p, seed, begin, end); });
        break;
    }
  }
}

void Parameters::set_row(const Parameter& parameter, std::int64_t row, std::int64_t column,
                         std::span<const float> values) {
  if (!parameter.master.empty()) {
    std::copy(values.begin(), values.end(), parameter.master.row<float>(row) + column);
    return;
  }
  bf16* const to = parameter.working.row<bf16>(row) + column;
  std::transform(values.begin(), values.end(), to, to_bf16);
}

void Parameters::refresh_working(Device& device) {
  for (const Parameter& p : parameters_) {
    if (p.master.empty()) continue;
    if (p.working.data != p.master.data) device.optimizer().cast({.from = p.master, .to = p.working});
  }
}

void Parameters::zero_gradients(Device& device) {
  for (const Parameter& p : parameters_) device.optimizer().zero(p.gradient);
}

std::uint64_t Parameters::digest(Device& device) const {
  std::uint64_t sum = 0;
  for (const Parameter& p : parameters_) {
    const Tensor logical(p.master.data, DType::f32, {p.logical_count()});
    sum += device.optimizer().digest(logical, p.first_index);
  }
  return sum;
}

}  // namespace megalith
