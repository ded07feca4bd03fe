#include "layers/parameters.h"

#include <algorithm>

#include "core/elementary_double.h"
#include "core/philox.h"
#include "core/thread_pool.h"

namespace megalith {
namespace {

constexpr std::int64_t kAlignment = 32;  // elements: 64 bytes of bf16

std::int64_t aligned(std::int64_t count) {
  return (count + kAlignment - 1) / kAlignment * kAlignment;
}

Tensor part_of(const Tensor& range, std::int64_t offset, LocalShape shape) {
  if (range.empty()) return {};
  auto* data = static_cast<std::byte*>(range.data) + static_cast<std::size_t>(offset) * size_of(range.dtype);
  return {data, range.dtype, {shape.rows, shape.columns}};
}

struct Arenas {
  Arena& weights;
  Arena& gradients;
  Arena& moments;
};

ParameterRange allocate_range(int unit, bool matrices, std::int64_t count, DType compute, bool training,
                              Arenas arenas) {
  ParameterRange range{.unit = unit, .matrices = matrices, .count = count};
  const bool rounded = matrices && compute != DType::f32;
  if (training || !rounded) range.master = arenas.weights.allocate(DType::f32, {count});
  range.working = rounded ? arenas.weights.allocate(compute, {count}) : range.master;
  if (!training) return range;
  range.gradient = arenas.gradients.allocate(DType::i64, {count});
  range.first_moment = arenas.moments.allocate(DType::f32, {count});
  range.second_moment = arenas.moments.allocate(DType::f32, {count});
  return range;
}

// One function lays out for real and for measuring, so the arenas fit exactly.
std::vector<ParameterRange> lay_out(std::vector<Parameter>& parameters, TensorPlace place, DType compute,
                                    bool training, Arenas arenas) {
  std::vector<ParameterRange> ranges;
  const auto lay = [&](std::span<Parameter> unit, bool matrices) {
    std::int64_t count = 0;
    for (const Parameter& p : unit) {
      const LocalShape shape = local_shape(p.spec, place);
      if (p.spec.is_matrix == matrices) count += aligned(shape.rows * shape.columns);
    }
    if (count == 0) return;
    const ParameterRange& range = ranges.emplace_back(
        allocate_range(unit.front().spec.unit, matrices, count, compute, training, arenas));
    std::int64_t offset = 0;
    for (Parameter& p : unit) {
      if (p.spec.is_matrix != matrices) continue;
      const LocalShape shape = local_shape(p.spec, place);
      p.master = part_of(range.master, offset, shape);
      p.working = part_of(range.working, offset, shape);
      p.gradient = part_of(range.gradient, offset, shape);
      p.first_moment = part_of(range.first_moment, offset, shape);
      p.second_moment = part_of(range.second_moment, offset, shape);
      offset += aligned(shape.rows * shape.columns);
    }
  };
  for (auto begin = parameters.begin(); begin != parameters.end();) {
    const int unit = begin->spec.unit;
    const auto end =
        std::find_if(begin, parameters.end(), [unit](const Parameter& p) { return p.spec.unit != unit; });
    lay({begin, end}, true);
    lay({begin, end}, false);
    begin = end;
  }
  return ranges;
}

enum class Kind : std::uint8_t { weights, gradients, moments };

Arena make_arena(std::vector<Parameter> parameters, TensorPlace place, DType compute, Parameters::Use use,
                 Kind kind) {
  Arena weights = Arena::measuring("weights");
  Arena gradients = Arena::measuring("gradients");
  Arena moments = Arena::measuring("optimizer moments");
  lay_out(parameters, place, compute, use != Parameters::Use::inference, {weights, gradients, moments});
  Arena& measured = kind == Kind::weights ? weights : kind == Kind::gradients ? gradients : moments;
  if (use == Parameters::Use::measuring) return Arena::measuring(measured.name());
  return {measured.name(), measured.peak()};
}

std::vector<Parameter> from_specs(std::vector<ParameterSpec> specs, TensorPlace place) {
  std::vector<Parameter> parameters;
  parameters.reserve(specs.size());
  for (ParameterSpec& spec : specs) {
    MEGALITH_CHECK(spec.padded_rows >= spec.rows && spec.columns > 0, "{}", spec.name);
    Parameter& p = parameters.emplace_back();
    p.pieces = pieces_of(spec, place);
    p.counted = !spec.held_elsewhere && (spec.cut != Cut::none || place.rank == 0);
    p.spec = std::move(spec);
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

// Elements [begin, end) of a piece, counted row by row.
void fill_normal(const Parameter& p, const ParameterPiece& piece, std::uint64_t seed, std::int64_t begin,
                 std::int64_t end) {
  const PhiloxKey key = philox_key(seed);
  const Tensor box = piece.of(p.master);
  double deviates[2];
  std::uint64_t drawn_pair = ~std::uint64_t{0};
  while (begin < end) {
    const std::int64_t row = begin / piece.columns;
    const std::int64_t row_begin = row * piece.columns;
    const std::int64_t row_end = std::min(end, row_begin + piece.columns);
    float* out = box.row<float>(row) - row_begin;
    std::uint64_t index =
        p.index_of(piece) + static_cast<std::uint64_t>(row * p.spec.columns + begin - row_begin);
    for (; begin < row_end; ++begin, ++index) {
      if (index / 2 != drawn_pair) {
        drawn_pair = index / 2;
        normal_pair(drawn_pair, key, deviates);
      }
      out[begin] = static_cast<float>(deviates[index % 2] * p.spec.standard_deviation);
    }
  }
}

void fill_ones(const Tensor& box) {
  for (std::int64_t r = 0; r < box.rows(); ++r) std::fill_n(box.row<float>(r), box.columns(), 1.0f);
}

// What two runs of columns share.
struct Columns {
  std::int64_t begin = 0, end = 0;
};
Columns shared(const ParameterPiece& piece, std::int64_t row, std::int64_t column, std::int64_t columns) {
  if (row < piece.row || row >= piece.row + piece.rows) return {};
  return {std::max(column, piece.column), std::min(column + columns, piece.column + piece.columns)};
}

}  // namespace

bool Parameter::holds(std::int64_t row, std::int64_t column, std::int64_t columns) const {
  return std::any_of(pieces.begin(), pieces.end(), [&](const ParameterPiece& piece) {
    const Columns both = shared(piece, row, column, columns);
    return both.begin < both.end;
  });
}

Parameters::Parameters(std::vector<ParameterSpec> specs, DType compute, Use use, TensorPlace place)
    : use_(use),
      place_(place),
      parameters_(from_specs(std::move(specs), place)),
      weights_(make_arena(parameters_, place, compute, use, Kind::weights)),
      gradients_(make_arena(parameters_, place, compute, use, Kind::gradients)),
      moments_(make_arena(parameters_, place, compute, use, Kind::moments)) {
  ranges_ = lay_out(parameters_, place, compute, use != Use::inference, {weights_, gradients_, moments_});
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
    std::fill_n(p.master.as<float>(), p.master.count(), 0.0f);
    for (const ParameterPiece& piece : p.pieces) {
      if (p.spec.initial == Initial::one) fill_ones(piece.of(p.master));
      if (p.spec.initial != Initial::normal) continue;
      pool.for_range(
          piece.rows * piece.columns, kTaskElements,
          [&](std::int64_t begin, std::int64_t end, int) { fill_normal(p, piece, seed, begin, end); });
    }
  }
}

void Parameters::set_row(const Parameter& parameter, std::int64_t row, std::int64_t column,
                         std::span<const float> values) {
  for (const ParameterPiece& piece : parameter.pieces) {
    const Columns both = shared(piece, row, column, static_cast<std::int64_t>(values.size()));
    if (both.begin >= both.end) continue;
    const std::span<const float> held = values.subspan(static_cast<std::size_t>(both.begin - column),
                                                       static_cast<std::size_t>(both.end - both.begin));
    if (!parameter.master.empty()) {
      float* const to = piece.of(parameter.master).row<float>(row - piece.row) + both.begin - piece.column;
      std::copy(held.begin(), held.end(), to);
    } else {
      bf16* const to = piece.of(parameter.working).row<bf16>(row - piece.row) + both.begin - piece.column;
      std::transform(held.begin(), held.end(), to, to_bf16);
    }
  }
}

void Parameters::refresh_working(Device& device) {
  for (const ParameterRange& range : ranges_) {
    if (range.master.empty() || range.working.data == range.master.data) continue;
    device.optimizer().cast({.from = range.master, .to = range.working});
  }
}

void Parameters::zero_gradients(Device& device) {
  for (const ParameterRange& range : ranges_) device.optimizer().zero(range.gradient);
}

std::uint64_t Parameters::digest(Device& device) const {
  std::uint64_t sum = 0;
  for (const Parameter& p : parameters_) {
    if (!p.counted) continue;
    for (const ParameterPiece& piece : p.pieces)
      sum += device.optimizer().digest(piece.of(p.master), p.index_of(piece), p.spec.columns);
  }
  return sum;
}

}  // namespace megalith
