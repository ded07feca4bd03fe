#include "model/huggingface_weights.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <span>
#include <utility>

#include "config/nearest.h"
#include "core/file.h"
#include "core/thread_pool.h"
#include "run/json_fields.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargestJson = std::size_t{64} << 20;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fu;
  const std::uint32_t fraction = half & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t biased = exponent == 0x1f ? 0xffu : exponent + 112;
  return std::bit_cast<float>(sign | biased << 23 | fraction << 13);
}

// Element i of stored bytes, which may start at any address.
float element(const StoredTensor& tensor, std::size_t i) {
  if (tensor.type == StoredType::f32) {
    float value = 0;
    std::memcpy(&value, tensor.bytes.data() + 4 * i, 4);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, tensor.bytes.data() + 2 * i, 2);
  return tensor.type == StoredType::bf16 ? to_float(bf16{bits}) : half_to_float(bits);
}

bool is_readable(StoredType type) {
  return type == StoredType::f32 || type == StoredType::bf16 || type == StoredType::f16;
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

bool has_shape(const StoredTensor& tensor, const WeightPiece& piece) {
  const auto rows = static_cast<std::uint64_t>(piece.source_rows);
  const auto columns = static_cast<std::uint64_t>(piece.source_columns);
  if (tensor.shape.size() == 1) return rows == 1 && tensor.shape[0] == columns;
  return tensor.shape.size() == 2 && tensor.shape[0] == rows && tensor.shape[1] == columns;
}

// Elements that lie next to each other.
void copy_run(const StoredTensor& tensor, std::size_t first, std::span<float> to) {
  if (tensor.type == StoredType::f32) {
    std::memcpy(to.data(), tensor.bytes.data() + 4 * first, 4 * to.size());
    return;
  }
  if (tensor.type == StoredType::bf16) {
    const std::byte* from = tensor.bytes.data() + 2 * first;
    for (std::size_t i = 0; i < to.size(); ++i) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, from + 2 * i, 2);
      to[i] = to_float(bf16{bits});
    }
    return;
  }
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = element(tensor, first + i);
}

// Where row r of a matrix that is not transposed begins, in elements.
std::size_t first_of_row(const WeightPiece& piece, std::int64_t r) {
  return static_cast<std::size_t>((piece.source_row + piece.stored_at(r)) * piece.source_columns +
                                  piece.source_column);
}

// Row r of a piece.
void read_row(const WeightPiece& piece, const StoredTensor& tensor, std::int64_t r, std::span<float> to) {
  const bool is_vector = piece.rows == 1;
  const std::int64_t stored_row = is_vector ? r : piece.stored_at(r);
  if (!piece.transposed && !is_vector) {
    copy_run(tensor, first_of_row(piece, r), to);
    return;
  }
  for (std::int64_t c = 0; c < piece.columns; ++c) {
    const std::int64_t stored_column = is_vector ? piece.stored_at(c) : c;
    const std::int64_t row = piece.source_row + (piece.transposed ? stored_column : stored_row);
    const std::int64_t column = piece.source_column + (piece.transposed ? stored_row : stored_column);
    to[static_cast<std::size_t>(c)] =
        element(tensor, static_cast<std::size_t>(row * piece.source_columns + column));
  }
}

// Where rows in bf16 lie as they are wanted, row r's elements: they are not widened on the way.
const bf16* plain_row(const WeightPiece& piece, const StoredTensor& tensor, std::int64_t r) {
  if (tensor.type != StoredType::bf16 || piece.transposed || piece.rows == 1) return nullptr;
  const std::byte* row = tensor.bytes.data() + 2 * first_of_row(piece, r);
  if (reinterpret_cast<std::uintptr_t>(row) % alignof(bf16) != 0) return nullptr;
  return reinterpret_cast<const bf16*>(row);
}

void copy_rows(const WeightPiece& piece, const StoredTensor& tensor, const Parameter& parameter,
               std::int64_t begin, std::int64_t end) {
  const auto columns = static_cast<std::size_t>(piece.columns);
  std::vector<float> values;
  for (std::int64_t r = begin; r < end; ++r) {
    if (!parameter.holds(piece.row + r, piece.column, piece.columns)) continue;
    if (const bf16* plain = plain_row(piece, tensor, r); plain != nullptr) {
      Parameters::set_row(parameter, piece.row + r, piece.column, std::span(plain, columns));
    } else {
      values.resize(columns);
      read_row(piece, tensor, r, values);
      Parameters::set_row(parameter, piece.row + r, piece.column, std::span<const float>(values));
    }
  }
}

// Rows of a piece as they are stored, where that is as `to` wants them. False also where the file gives less
// than it did when it was opened: the map is asked then, and answers as it does.
bool read_as_stored(std::span<const SafetensorsFile> files, const WeightPiece& piece,
                    const StoredTensor& tensor, std::int64_t begin, const Tensor& to) {
  const bool whole_rows = piece.columns == piece.source_columns && piece.columns == to.columns();
  if (piece.transposed || piece.rows == 1 || piece.block != 0 || !whole_rows || !to.dense()) return false;
  if (tensor.type != stored_type(to.dtype)) return false;
  const auto file = std::find_if(files.begin(), files.end(), [&](const SafetensorsFile& candidate) {
    return candidate.file().holds(tensor.bytes);
  });
  const std::size_t first = first_of_row(piece, begin) * size_of(to.dtype);
  if (!file->file().read(tensor.bytes.subspan(first, to.size_in_bytes()), to.data)) return false;
  if (to.dtype == DType::bf16) make_nans_equal(to.values<bf16>());
  return true;
}

// Gives back what was read of the file, so that a copy never stands in memory twice.
void release_rows(const WeightPiece& piece, const StoredTensor& tensor, std::int64_t begin,
                  std::int64_t end) {
  if (end == piece.rows) return release_pages(tensor.bytes);
  if (piece.transposed || piece.rows == 1) return;  // reads the whole tensor again and again
  const bool in_order = piece.stored_at(begin) == begin && piece.stored_at(end - 1) == end - 1;
  if (!in_order) return;
  const std::size_t row_bytes = tensor.bytes.size() / static_cast<std::size_t>(piece.source_rows);
  release_pages(tensor.bytes.subspan(static_cast<std::size_t>(piece.source_row + begin) * row_bytes,
                                     static_cast<std::size_t>(end - begin) * row_bytes));
}

// The files that model.safetensors.index.json names, each once.
std::set<std::string> shard_names(const fs::path& index) {
  const Expected<std::string> text = read_file(index, kLargestJson);
  if (!text) throw BadField{text.error().front()};
  constexpr int kDeepest = 8;
  const nlohmann::json object = parse_json(*text, index.string(), kDeepest);
  const JsonFields fields(object, index.string());
  const nlohmann::json& map = fields.any("weight_map");
  if (!map.is_object()) fields.bad("weight_map", "an object of tensor names and file names");
  std::set<std::string> names;
  for (const auto& [tensor, file] : map.items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos || name.front() == '.')
      fields.bad("weight_map", "names of files in the same folder");
    names.insert(name);
  }
  return names;
}

}  // namespace

bool is_huggingface_folder(const fs::path& folder) {
  return is_there(folder / "config.json") && !is_there(folder / "manifest.json") &&
         !is_there(folder / "run.json");
}

Expected<HuggingFaceModel> HuggingFaceModel::open(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  Expected<std::string> text = read_file(path, kLargestJson);
  if (!text) return tl::unexpected(text.error());
  Expected<HuggingFaceConfig> config = parse_huggingface_config(*text, path.string());
  if (!config) return tl::unexpected(config.error());
  HuggingFaceModel model;
  model.config_ = std::move(*config);
  try {
    if (Expected<void> opened = model.open_files(folder); !opened) return tl::unexpected(opened.error());
  } catch (const BadField& bad) {
    return refuse(bad.refusal);
  }
  if (model.config_.model.layers > static_cast<std::int64_t>(model.tensors_.size())) {
    return refuse(Refusal{.where = path.string(),
                          .found = fmt::format("{} layers", model.config_.model.layers),
                          .allowed = fmt::format("as many as {} tensors can hold", model.tensors_.size()),
                          .nearest = ""});
  }
  model.pieces_ = huggingface_pieces(model.config_, model.prefix());
  for (std::size_t i = 0; i < model.pieces_.size(); ++i)
    model.pieces_of_[model.pieces_[i].parameter].push_back(i);
  if (Expected<void> checked = model.check(folder); !checked) return tl::unexpected(checked.error());
  return model;
}

Expected<void> HuggingFaceModel::open_files(const fs::path& folder) {
  std::set<std::string> names;
  if (is_there(folder / "model.safetensors.index.json")) {
    names = shard_names(folder / "model.safetensors.index.json");
  } else if (is_there(folder / "model.safetensors")) {
    names = {"model.safetensors"};
  } else {
    const bool pickle =
        is_there(folder / "pytorch_model.bin") || is_there(folder / "pytorch_model.bin.index.json");
    return refuse(Refusal{
        .where = folder.string(),
        .found = pickle ? "pytorch_model.bin, a pickle: loading one can run anything in it" : "no weights",
        .allowed = "model.safetensors, or shards and model.safetensors.index.json",
        .nearest = pickle ? "the same model saved with safe_serialization=True" : ""});
  }
  files_.reserve(names.size());
  for (const std::string& name : names) {
    Expected<SafetensorsFile> file = SafetensorsFile::open(folder / name);
    if (!file) return tl::unexpected(file.error());
    files_.push_back(std::move(*file));
    for (const auto& [tensor, stored] : files_.back().view().tensors()) {
      if (tensors_.emplace(tensor, &stored).second) continue;
      return refuse(Refusal{.where = (folder / name).string() + " " + in_quotes(tensor),
                            .found = "a tensor that another shard has too",
                            .allowed = "each tensor once",
                            .nearest = ""});
    }
  }
  return {};
}

std::string HuggingFaceModel::prefix() const {
  const std::string_view suffix = token_table_suffix(config_.kind);
  for (const auto& [name, stored] : tensors_) {
    if (name.ends_with(suffix)) return name.substr(0, name.size() - suffix.size());
  }
  return "";
}

Expected<void> HuggingFaceModel::check(const fs::path& folder) const {
  std::vector<std::string> names;
  for (const auto& [name, stored] : tensors_) names.push_back(name);
  std::set<std::string, std::less<>> used;
  Refusals refusals;
  for (const WeightPiece& piece : pieces_) {
    if (!used.insert(piece.source).second) continue;
    const auto found = tensors_.find(piece.source);
    const std::string where = fmt::format("{} {}", folder.string(), piece.source);
    if (found == tensors_.end()) {
      refusals.push_back({.where = where,
                          .found = "no such tensor",
                          .allowed = "the tensors that config.json implies",
                          .nearest = nearest_name(piece.source, names)});
    } else if (!is_readable(found->second->type)) {
      refusals.push_back({.where = where,
                          .found = name_of(found->second->type),
                          .allowed = "F32, BF16 or F16",
                          .nearest = ""});
    } else if (!has_shape(*found->second, piece)) {
      refusals.push_back({.where = where,
                          .found = shape_text(found->second->shape),
                          .allowed = fmt::format("[{}, {}], as config.json implies", piece.source_rows,
                                                 piece.source_columns),
                          .nearest = ""});
    }
  }
  for (const std::string& name : names) {
    if (used.count(name) > 0 || is_superfluous(config_, name)) continue;
    refusals.push_back({.where = fmt::format("{} {}", folder.string(), in_quotes(name)),
                        .found = "a tensor that config.json does not imply",
                        .allowed = "only weights that would be used",
                        .nearest = ""});
  }
  constexpr std::size_t kMostShown = 10;
  if (refusals.size() > kMostShown) refusals.resize(kMostShown);
  if (!refusals.empty()) return refuse(std::move(refusals));
  return {};
}

void HuggingFaceModel::load(const Parameters& parameters, int num_threads) const {
  constexpr std::int64_t kElementsAtOnce = 1 << 20;
  ThreadPool pool(num_threads);
  for (const WeightPiece& piece : pieces_) {
    const Parameter& parameter = parameters.named(piece.parameter);
    MEGALITH_CHECK(piece.row + piece.rows <= parameter.spec.rows &&
                       piece.column + piece.columns <= parameter.spec.columns,
                   "{} does not fit into {}", piece.source, piece.parameter);
    const StoredTensor& tensor = *tensors_.find(piece.source)->second;
    const std::int64_t rows =
        std::max<std::int64_t>(1, kElementsAtOnce / std::max<std::int64_t>(1, piece.columns));
    pool.for_range(piece.rows, rows, [&](std::int64_t begin, std::int64_t end, int) {
      copy_rows(piece, tensor, parameter, begin, end);
      if (end < piece.rows) release_rows(piece, tensor, begin, end);
    });
    release_pages(tensor.bytes);
  }
}

template <class Use>
void HuggingFaceModel::for_pieces(const Parameter& parameter, std::int64_t first, std::int64_t count,
                                  Use use) const {
  for (const std::size_t i : pieces_of_.find(parameter.spec.name)->second) {
    const WeightPiece& piece = pieces_[i];
    const std::int64_t begin = std::max(first, piece.row) - piece.row;
    const std::int64_t end = std::min(first + count, piece.row + piece.rows) - piece.row;
    if (begin < end) use(piece, *tensors_.find(piece.source)->second, begin, end);
  }
}

void HuggingFaceModel::read_rows(const Parameter& parameter, std::int64_t first, const Tensor& to) const {
  const Parameter rows = rows_of(parameter, first, to);
  for_pieces(parameter, first, to.rows(),
             [&](const WeightPiece& piece, const StoredTensor& tensor, std::int64_t begin, std::int64_t end) {
               const Tensor part = to.row_slice(piece.row + begin - first, end - begin);
               if (!read_as_stored(files_, piece, tensor, begin, part))
                 copy_rows(piece, tensor, rows, begin, end);
             });
}

void HuggingFaceModel::rows_done(const Parameter& parameter, std::int64_t first, std::int64_t count) const {
  for_pieces(parameter, first, count, release_rows);
}

}  // namespace megalith
