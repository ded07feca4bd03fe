#include "model/stored_parameters.h"

#include <algorithm>
#include <vector>

#include "core/file.h"
#include "run/json_fields.h"

namespace megalith {
namespace {

Extents whole(const Parameter& parameter) {
  return {1, 1, parameter.spec.rows, parameter.spec.columns};
}

Extents corner(const ParameterPiece& piece) {
  return {0, 0, piece.row, piece.column};
}

// Refuses a tensor of another shape than the whole model's; one that is missing is refused when it is read.
Expected<void> check_shape(const Checkpoint& checkpoint, const std::string& name,
                           const Parameter& parameter) {
  const CheckpointTensor* stored = checkpoint.find(name);
  if (stored == nullptr || stored->shape == whole(parameter)) return {};
  return refuse({.where = fmt::format("{} tensor {}", checkpoint.folder().string(), in_quotes(name)),
                 .found = "shape " + describe(stored->shape),
                 .allowed = describe(whole(parameter)),
                 .nearest = ""});
}

std::string name_of_model(const Parameter& parameter) {
  return "model." + parameter.spec.name;
}

}  // namespace

void add_pieces(CheckpointWriter& writer, const std::string& name, const Parameter& parameter,
                const Tensor& local) {
  if (!parameter.counted) return;
  for (const ParameterPiece& piece : parameter.pieces)
    writer.add_slice(name, whole(parameter), corner(piece), piece.of(local));
}

Expected<void> load_pieces(const Checkpoint& checkpoint, const std::string& name, const Parameter& parameter,
                           const Tensor& local) {
  if (Expected<void> fits = check_shape(checkpoint, name, parameter); !fits) return fits;
  for (const ParameterPiece& piece : parameter.pieces) {
    Expected<void> loaded = checkpoint.load_slice(name, corner(piece), piece.of(local));
    if (!loaded) return loaded;
  }
  return {};
}

Expected<StoredWeights> StoredWeights::of(const Checkpoint& checkpoint, const Parameters& parameters) {
  for (const Parameter& p : parameters.all()) {
    const std::string name = name_of_model(p);
    if (Expected<void> fits = check_shape(checkpoint, name, p); !fits) return tl::unexpected(fits.error());
    const Tensor no_rows(nullptr, DType::f32, {0, p.spec.columns});  // its name and dtype are checked
    if (Expected<void> there = checkpoint.load_slice(name, {}, no_rows); !there)
      return tl::unexpected(there.error());
  }
  return StoredWeights(checkpoint);
}

// A checkpoint has masters; what keeps none is rounded from them, some rows at a time.
void StoredWeights::read_rows(const Parameter& parameter, std::int64_t first, const Tensor& to) const {
  constexpr std::int64_t kValuesAtOnce = 1 << 14;
  const Parameter rows = rows_of(parameter, first, to);
  const std::int64_t columns = to.columns();
  const std::int64_t most = std::clamp<std::int64_t>(kValuesAtOnce / columns, 1, to.rows());
  std::vector<float> values(to.dtype == DType::f32 ? 0 : static_cast<std::size_t>(most * columns));
  for (std::int64_t begin = 0; begin < to.rows(); begin += most) {
    const std::int64_t count = std::min(most, to.rows() - begin);
    const Tensor block = to.dtype == DType::f32 ? to.row_slice(begin, count)
                                                : Tensor(values.data(), DType::f32, {count, columns});
    const Expected<void> loaded =
        checkpoint_.load_slice(name_of_model(parameter), {0, 0, first + begin, 0}, block);
    MEGALITH_CHECK(loaded.has_value(), "{}", to_string(loaded.error()));  // of() saw to it
    if (to.dtype == DType::f32) continue;
    for (std::int64_t r = 0; r < count; ++r)
      Parameters::set_row(rows, first + begin + r, 0,
                          {block.row<float>(r), static_cast<std::size_t>(columns)});
  }
}

void StoredWeights::rows_done(const Parameter& parameter, std::int64_t first, std::int64_t count) const {
  const auto stored = checkpoint_.in_place(name_of_model(parameter));
  if (!stored) return;
  const std::size_t row_bytes = stored->size() / static_cast<std::size_t>(parameter.spec.rows);
  release_pages(stored->subspan(static_cast<std::size_t>(first) * row_bytes,
                                static_cast<std::size_t>(count) * row_bytes));
}

}  // namespace megalith
