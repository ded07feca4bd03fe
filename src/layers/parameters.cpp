#include "layers/parameters.h"

#include <algorithm>
#include <cstring>

#include "core/elementary_double.h"
#include "core/philox.h"
#include "core/thread_pool.h"

namespace megalith {
namespace {

enum class Kind : std::uint8_t { weights, gradients, moments };

Arena make_arena(std::span<const ParameterSpec> specs, const MemoryPlan& plan, Parameters::Use use,
                 Kind kind) {
  Arena weights = Arena::measuring("weights");
  Arena gradients = Arena::measuring("gradients");
  Arena moments = Arena::measuring("optimizer moments");
  lay_out(specs, plan, {weights, gradients, moments});
  Arena& measured = kind == Kind::weights ? weights : kind == Kind::gradients ? gradients : moments;
  if (use == Parameters::Use::measuring) return Arena::measuring(measured.name());
  return {measured.name(), measured.peak()};
}

Tensor shaped(const Tensor& flat, LocalShape shape) {
  if (flat.empty()) return {};
  return {flat.data, flat.dtype, {shape.rows, shape.columns}};
}

// The parameter at its place. What the rank owns of it keeps its shape where that is all.
Parameter make_parameter(const ParameterSpec& spec, const MemoryPlan& plan, const ParameterRange& range,
                         const ParameterPlace& place) {
  Parameter p{.spec = spec};
  const std::int64_t end = place.offset + place.shape.rows * place.shape.columns;
  p.working = shaped(flat_part(range.working, place.offset, end), place.shape);
  p.gradient = shaped(flat_part(range.gradient, place.offset, end), place.shape);
  const bool whole = range.shard_count == range.count;
  const std::int64_t owned_begin = std::max(place.offset, range.shard_begin);
  const std::int64_t owned_end = std::min(end, range.shard_begin + range.shard_count);
  const auto owned = [&](const Tensor& flat) {
    const Tensor part = flat_part(flat, owned_begin - range.shard_begin, owned_end - range.shard_begin);
    return whole ? shaped(part, place.shape) : part;
  };
  p.master = owned(range.master);
  p.rounded = owned(range.rounded);
  p.reduced = owned(range.reduced);
  p.first_moment = owned(range.first_moment);
  p.second_moment = owned(range.second_moment);
  p.pieces = pieces_of(spec, plan.tensor);
  if (!whole) p.pieces = cut_to(p.pieces, owned_begin - place.offset, owned_end - place.offset);
  p.counted = !spec.held_elsewhere && (spec.cut != Cut::none || plan.tensor.rank == 0) &&
              (plan.shard.shares(1) || plan.shard.rank == 0);
  return p;
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

void store(std::span<const float> from, float* to) {
  std::copy(from.begin(), from.end(), to);
}
void store(std::span<const float> from, bf16* to) {
  std::transform(from.begin(), from.end(), to, [](float value) { return to_bf16(value); });
}
void store(std::span<const bf16> from, float* to) {
  std::transform(from.begin(), from.end(), to, [](bf16 value) { return to_float(value); });
}
void store(std::span<const bf16> from, bf16* to) {
  std::memcpy(to, from.data(), from.size_bytes());
  make_nans_equal({to, from.size()});
}

template <class T>
void store_row(const Parameter& parameter, std::int64_t row, std::int64_t column, std::span<const T> values) {
  for (const ParameterPiece& piece : parameter.pieces) {
    const Columns both = shared(piece, row, column, static_cast<std::int64_t>(values.size()));
    if (both.begin >= both.end) continue;
    const std::span<const T> held = values.subspan(static_cast<std::size_t>(both.begin - column),
                                                   static_cast<std::size_t>(both.end - both.begin));
    if (!parameter.master.empty()) {
      store(held, piece.of(parameter.master).row<float>(row - piece.row) + both.begin - piece.column);
    } else {
      store(held, piece.of(parameter.working).row<bf16>(row - piece.row) + both.begin - piece.column);
    }
  }
}

}  // namespace

// NaNs are rare: a block of a fixed size, which becomes vectors, is looked through at memory's speed.
void make_nans_equal(std::span<bf16> values) {
  constexpr std::size_t kBlock = 64;
  constexpr std::int16_t kInfinity = 0x7f80;
  const auto magnitude = [](bf16 x) { return static_cast<std::int16_t>(x.bits & 0x7fff); };
  const auto mend = [&](bf16& x) {
    if (magnitude(x) > kInfinity) x.bits = 0x7fc0;
  };
  std::size_t begin = 0;
  for (; begin + kBlock <= values.size(); begin += kBlock) {
    std::int16_t greatest = 0;
    for (std::size_t i = 0; i < kBlock; ++i) greatest = std::max(greatest, magnitude(values[begin + i]));
    if (greatest > kInfinity)
      std::for_each_n(values.begin() + static_cast<std::ptrdiff_t>(begin), kBlock, mend);
  }
  std::for_each(values.begin() + static_cast<std::ptrdiff_t>(begin), values.end(), mend);
}

bool Parameter::holds(std::int64_t row, std::int64_t column, std::int64_t columns) const {
  return std::any_of(pieces.begin(), pieces.end(), [&](const ParameterPiece& piece) {
    const Columns both = shared(piece, row, column, columns);
    return both.begin < both.end;
  });
}

Parameter rows_of(const Parameter& parameter, std::int64_t first, const Tensor& rows) {
  MEGALITH_CHECK(rows.columns() == parameter.spec.columns, "{}", describe(rows));
  Parameter window{.spec = parameter.spec, .working = rows};
  if (rows.dtype == DType::f32) window.master = rows;
  window.pieces = {{.row = first, .rows = rows.rows(), .columns = rows.columns(), .stride = rows.row_stride}};
  return window;
}

Parameters::Parameters(std::vector<ParameterSpec> specs, const ParameterTypes& types, Use use,
                       TensorPlace place, ShardPlace shard)
    : use_(use),
      plan_{.types = types, .training = use != Use::inference, .tensor = place, .shard = shard},
      weights_(make_arena(specs, plan_, use, Kind::weights)),
      gradients_(make_arena(specs, plan_, use, Kind::gradients)),
      moments_(make_arena(specs, plan_, use, Kind::moments)),
      memory_(lay_out(specs, plan_, {weights_, gradients_, moments_})) {
  parameters_.reserve(specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    MEGALITH_CHECK(specs[i].padded_rows >= specs[i].rows && specs[i].columns > 0, "{}", specs[i].name);
    const ParameterPlace& where = memory_.places[i];
    parameters_.push_back(make_parameter(specs[i], plan_, memory_.ranges[where.range], where));
  }
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
    if (!p.master.empty()) std::fill_n(p.master.as<float>(), p.master.count(), 0.0f);
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
  store_row(parameter, row, column, values);
}

void Parameters::set_row(const Parameter& parameter, std::int64_t row, std::int64_t column,
                         std::span<const bf16> values) {
  store_row(parameter, row, column, values);
}

void Parameters::refresh_working(Device& device) {
  for (const ParameterRange& range : memory_.ranges) {
    if (range.master.empty() || range.rounded.data == range.master.data) continue;
    device.optimizer().cast({.from = range.master, .to = range.rounded});
  }
}

void Parameters::zero_gradients(Device& device) {
  for (const ParameterRange& range : memory_.ranges) device.optimizer().zero(range.gradient);
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
