#include "layers/parameter_pieces.h"

#include <algorithm>

#include "core/error.h"

namespace megalith {
namespace {

// A run of the cut dimension: logical, and where it stands locally.
struct Run {
  std::int64_t logical = 0;
  std::int64_t local = 0;
  std::int64_t length = 0;
};

// The runs that a place holds of `extent` things made of members. Neighbours that stay neighbours are one.
std::vector<Run> runs_of(std::int64_t extent, std::array<std::int64_t, 3> members, TensorPlace place) {
  if (members[0] == 0) members[0] = extent;
  std::vector<Run> runs;
  std::int64_t first = 0;
  std::int64_t local = 0;
  for (const std::int64_t member : members) {
    const Run run{first + place.begin(member), local, place.part(member)};
    first += member;
    local += run.length;
    if (run.length == 0) continue;
    if (!runs.empty() && runs.back().logical + runs.back().length == run.logical) {
      runs.back().length += run.length;
    } else {
      runs.push_back(run);
    }
  }
  MEGALITH_CHECK(first == extent, "members of {} make up {}", extent, first);
  return runs;
}

std::int64_t length_of(const std::vector<Run>& runs) {
  return runs.empty() ? 0 : runs.back().local + runs.back().length;
}

}  // namespace

Tensor ParameterPiece::of(const Tensor& local) const {
  MEGALITH_CHECK(offset + (rows - 1) * stride + columns <= local.count(), "{}", describe(local));
  auto* data = static_cast<std::byte*>(local.data);
  if (data != nullptr) data += static_cast<std::size_t>(offset) * size_of(local.dtype);
  Tensor box(data, local.dtype, {rows, columns});
  box.row_stride = stride;
  return box;
}

LocalShape local_shape(const ParameterSpec& spec, TensorPlace place) {
  switch (spec.cut) {
    case Cut::none:
      return {spec.padded_rows, spec.columns};
    case Cut::rows:
      return {length_of(runs_of(spec.padded_rows, spec.members, place)), spec.columns};
    case Cut::columns:
      return {spec.padded_rows, length_of(runs_of(spec.columns, spec.members, place))};
  }
  return {};
}

std::vector<ParameterPiece> pieces_of(const ParameterSpec& spec, TensorPlace place) {
  const std::int64_t stride = local_shape(spec, place).columns;
  std::vector<ParameterPiece> pieces;
  const auto add = [&](std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns,
                       std::int64_t offset) {
    rows = std::min(rows, spec.rows - row);  // what is left is padding
    if (rows > 0 && columns > 0) pieces.push_back({row, column, rows, columns, offset, stride});
  };
  switch (spec.cut) {
    case Cut::none:
      add(0, 0, spec.rows, spec.columns, 0);
      break;
    case Cut::rows:
      for (const Run& run : runs_of(spec.padded_rows, spec.members, place))
        add(run.logical, 0, run.length, spec.columns, run.local * stride);
      break;
    case Cut::columns:
      for (const Run& run : runs_of(spec.columns, spec.members, place))
        add(0, run.logical, spec.rows, run.length, run.local);
      break;
  }
  return pieces;
}

std::vector<ParameterPiece> cut_to(const std::vector<ParameterPiece>& pieces, std::int64_t begin,
                                   std::int64_t end) {
  std::vector<ParameterPiece> cut;
  for (const ParameterPiece& piece : pieces) {
    // Of rows that lie alike in the interval.
    const auto add_rows = [&](std::int64_t first, std::int64_t last) {
      const std::int64_t at = piece.offset + first * piece.stride;
      const std::int64_t from = std::clamp<std::int64_t>(begin - at, 0, piece.columns);
      const std::int64_t to = std::clamp<std::int64_t>(end - at, 0, piece.columns);
      if (from >= to) return;
      cut.push_back({.row = piece.row + first,
                     .column = piece.column + from,
                     .rows = last - first,
                     .columns = to - from,
                     .offset = at + from - begin,
                     .stride = piece.stride});
    };
    // Rows [whole_begin, whole_end) lie in it wholly, their neighbours in part.
    const std::int64_t into = std::max<std::int64_t>(0, begin - piece.offset);
    const std::int64_t whole_begin = std::min(piece.rows, (into + piece.stride - 1) / piece.stride);
    const std::int64_t room = end - piece.offset - piece.columns;
    const std::int64_t whole_end =
        std::max(whole_begin, room < 0 ? 0 : std::min(piece.rows, room / piece.stride + 1));
    if (whole_begin > 0) add_rows(whole_begin - 1, whole_begin);
    if (whole_end > whole_begin) add_rows(whole_begin, whole_end);
    if (whole_end < piece.rows) add_rows(whole_end, whole_end + 1);
  }
  return cut;
}

void number_elements(std::vector<ParameterSpec>& specs) {
  std::uint64_t next = 0;
  for (ParameterSpec& spec : specs) {
    spec.first_index = next;
    next += static_cast<std::uint64_t>(spec.rows) * static_cast<std::uint64_t>(spec.columns);
  }
}

}  // namespace megalith
