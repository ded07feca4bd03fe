#include "model/stored_parameters.h"

#include "run/json_fields.h"

namespace megalith {
namespace {

Extents whole(const Parameter& parameter) {
  return {1, 1, parameter.spec.rows, parameter.spec.columns};
}

Extents corner(const ParameterPiece& piece) {
  return {0, 0, piece.row, piece.column};
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
  const CheckpointTensor* stored = checkpoint.find(name);
  if (stored != nullptr && stored->shape != whole(parameter)) {
    return refuse({.where = fmt::format("{} tensor {}", checkpoint.folder().string(), in_quotes(name)),
                   .found = "shape " + describe(stored->shape),
                   .allowed = describe(whole(parameter)),
                   .nearest = ""});
  }
  for (const ParameterPiece& piece : parameter.pieces) {
    Expected<void> loaded = checkpoint.load_slice(name, corner(piece), piece.of(local));
    if (!loaded) return loaded;
  }
  return {};
}

}  // namespace megalith
