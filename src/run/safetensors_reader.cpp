#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "run/json_fields.h"
#include "run/safetensors.h"

namespace megalith {
namespace {

struct TypeInfo {
  const char* name;
  unsigned bits;
};
// In the order of StoredType.
constexpr std::array<TypeInfo, 22> kTypes{{
    {"BOOL", 8},        {"U8", 8},   {"I8", 8},      {"I16", 16},    {"U16", 16},    {"I32", 32},
    {"U32", 32},        {"I64", 64}, {"U64", 64},    {"F16", 16},    {"BF16", 16},   {"F32", 32},
    {"F64", 64},        {"C64", 64}, {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6},
}};
constexpr std::size_t kMaxExtents = 32;

std::optional<StoredType> type_named(std::string_view name) {
  for (std::size_t t = 0; t < kTypes.size(); ++t) {
    if (kTypes[t].name == name) return static_cast<StoredType>(t);
  }
  return std::nullopt;
}

struct Entry {
  std::optional<StoredType> type;
  std::optional<std::vector<std::uint64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

// Follows the header's one legal structure and stops at the first thing outside it, so that nothing is ever
// stored that does not belong to a tensor: nesting and sizes cannot run away.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(std::string where, std::map<std::string, Entry, std::less<>>& entries,
               std::map<std::string, std::string>& metadata)
      : where_(std::move(where)), entries_(entries), metadata_(metadata) {}

  Refusal problem;

  bool start_object(std::size_t) override {
    if (place_ == Place::before) return enter(Place::file);
    if (place_ == Place::file) return enter(name_ == "__metadata__" ? Place::metadata : Place::tensor);
    return refuse_value("an object");
  }
  bool end_object() override {
    if (place_ == Place::tensor && !complete()) return false;
    return enter(place_ == Place::file ? Place::after : Place::file);
  }
  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && (field_ == "shape" || field_ == "data_offsets"))
      return enter(Place::array);
    return refuse_value("an array");
  }
  bool end_array() override {
    auto& target = field_ == "shape" ? entry_->shape : entry_->offsets;
    target = std::move(numbers_);
    numbers_.clear();
    return enter(Place::tensor);
  }

  bool key(std::string& text) override {
    if (place_ == Place::file) return begin_name(text);
    field_ = text;
    if (place_ == Place::metadata) {
      if (!metadata_.contains(text)) return true;
      return fail("the key twice", "each metadata key once");
    }
    const bool twice = (text == "dtype" && entry_->type) || (text == "shape" && entry_->shape) ||
                       (text == "data_offsets" && entry_->offsets);
    if (twice) return fail("the field twice", "each field once");
    if (text == "dtype" || text == "shape" || text == "data_offsets") return true;
    return fail("this field", "dtype, shape and data_offsets");
  }

  bool string(std::string& text) override {
    if (place_ == Place::metadata) {
      metadata_.emplace(field_, std::move(text));
      return true;
    }
    if (place_ != Place::tensor || field_ != "dtype") return refuse_value("a string");
    entry_->type = type_named(text);
    if (entry_->type) return true;
    return fail(in_quotes(text),
                "BOOL, U8, I8, I16, U16, I32, U32, I64, U64, F16, BF16, F32, F64, C64 or a F8, F6, F4 type");
  }
  bool number_unsigned(std::uint64_t number) override {
    if (place_ != Place::array) return refuse_value("a number");
    if (numbers_.size() == (field_ == "shape" ? kMaxExtents : 2)) {
      return fail("more numbers", field_ == "shape" ? "at most 32 extents" : "two offsets, begin and end");
    }
    numbers_.push_back(number);
    return true;
  }
  bool number_integer(std::int64_t number) override { return refuse_value(fmt::format("{}", number)); }
  bool number_float(double, const std::string& text) override { return refuse_value(in_quotes(text)); }
  bool null() override { return refuse_value("null"); }
  bool boolean(bool value) override { return refuse_value(value ? "true" : "false"); }
  bool binary(nlohmann::json::binary_t&) override { return refuse_value("binary"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    problem = {.where = where_,
               .found = fmt::format("a header that is not JSON in UTF-8 at byte {}", position + 7),
               .allowed = "a safetensors file",
               .nearest = ""};
    return false;
  }

 private:
  enum class Place { before, file, metadata, tensor, array, after };

  bool enter(Place place) {
    place_ = place;
    if (place == Place::file || place == Place::after) field_.clear();
    return true;
  }
  bool begin_name(std::string& text) {
    name_ = text;
    if (text == "__metadata__") {
      if (std::exchange(has_metadata_, true)) return fail("the name twice", "each name once");
      return true;
    }
    const auto [place, fresh] = entries_.try_emplace(text);
    entry_ = &place->second;
    return fresh || fail("the name twice", "each name once");
  }
  bool complete() {
    field_ = !entry_->type ? "dtype" : !entry_->shape ? "shape" : "data_offsets";
    if (!entry_->type || !entry_->shape || !entry_->offsets)
      return fail("nothing", "dtype, shape and data_offsets");
    return entry_->offsets->size() == 2 || fail("fewer numbers", "two offsets, begin and end");
  }
  bool refuse_value(std::string found) {
    switch (place_) {
      case Place::file:
        return fail(std::move(found), "an object");
      case Place::metadata:
        return fail(std::move(found), "a string");
      case Place::tensor:
        return fail(std::move(found), field_ == "dtype" ? "a string" : "an array of integers");
      case Place::array:
        return fail(std::move(found), "an integer from 0 to 2^64 - 1");
      default:
        return fail(std::move(found), "a safetensors file");
    }
  }
  bool fail(std::string found, std::string allowed) {
    std::string where = where_;
    if (place_ != Place::before) where += " tensor " + in_quotes(name_);
    if (!field_.empty()) where += " " + in_quotes(field_);
    problem = {
        .where = std::move(where), .found = std::move(found), .allowed = std::move(allowed), .nearest = ""};
    return false;
  }

  std::string where_;
  std::map<std::string, Entry, std::less<>>& entries_;
  std::map<std::string, std::string>& metadata_;
  Place place_ = Place::before;
  std::string name_;
  std::string field_;
  Entry* entry_ = nullptr;
  std::vector<std::uint64_t> numbers_;
  bool has_metadata_ = false;
};

tl::unexpected<Refusals> refuse_file(const std::string& where, std::string found, std::string allowed) {
  return refuse({.where = where, .found = std::move(found), .allowed = std::move(allowed), .nearest = ""});
}

// The bytes of the header between its size field and the data.
Expected<std::string_view> header_text(std::span<const std::byte> file, const std::string& where) {
  if (file.size() < 8) return refuse_file(where, fmt::format("{} bytes", file.size()), "a safetensors file");
  const std::uint64_t end = SafetensorsView::claimed_header_end(file);
  if (end > 8 + SafetensorsView::max_header_bytes) {
    return refuse_file(
        where, "a larger header",
        fmt::format("a safetensors file: a header of at most {} bytes", SafetensorsView::max_header_bytes));
  }
  if (end > file.size()) {
    return refuse_file(where, fmt::format("a header of {} bytes in a file of {}", end - 8, file.size()),
                       "a whole safetensors file");
  }
  const std::uint64_t size = end - 8;
  std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, size);
  if (text.empty() || text.front() != '{')
    return refuse_file(where, "a header that is no JSON object", "{...}");
  // The parser takes a NUL byte for the end of the text.
  if (text.find('\0') != std::string_view::npos)
    return refuse_file(where, "a NUL byte in the header", "JSON");
  const std::size_t last = text.find_last_not_of(' ');
  if (text[last] != '}') return refuse_file(where, "other bytes after the header's object", "spaces");
  return text;
}

// Size of the tensor in bytes; none when it overflows or does not fill whole bytes.
std::optional<std::uint64_t> byte_count(StoredType type, const std::vector<std::uint64_t>& shape) {
  std::uint64_t bits = bits_of(type);
  for (const std::uint64_t extent : shape) {
    if (__builtin_mul_overflow(bits, extent, &bits)) return std::nullopt;
  }
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

}  // namespace

const char* name_of(StoredType type) {
  return kTypes[static_cast<std::size_t>(type)].name;
}
unsigned bits_of(StoredType type) {
  return kTypes[static_cast<std::size_t>(type)].bits;
}

StoredType stored_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return StoredType::f32;
    case DType::bf16:
      return StoredType::bf16;
    case DType::i64:
      return StoredType::i64;
    case DType::i32:
      return StoredType::i32;
    case DType::u8:
      return StoredType::u8;
  }
  return StoredType::u8;
}

std::optional<DType> computable(StoredType type) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::i64, DType::i32, DType::u8}) {
    if (stored_type(dtype) == type) return dtype;
  }
  return std::nullopt;
}

std::uint64_t SafetensorsView::claimed_header_end(std::span<const std::byte> file) {
  if (file.size() < 8) return 0;
  std::uint64_t size = 0;
  for (std::size_t b = 8; b-- > 0;) size = size << 8 | std::to_integer<std::uint64_t>(file[b]);
  return size > UINT64_MAX - 8 ? UINT64_MAX : 8 + size;
}

Expected<SafetensorsView> SafetensorsView::parse(std::span<const std::byte> file, const std::string& where) {
  const Expected<std::string_view> header = header_text(file, where);
  if (!header) return tl::unexpected(header.error());
  SafetensorsView view;
  std::map<std::string, Entry, std::less<>> entries;
  HeaderReader reader(where, entries, view.metadata_);
  if (!nlohmann::json::sax_parse(header->begin(), header->end(), &reader)) return refuse(reader.problem);

  const std::span<const std::byte> data = file.subspan(8 + header->size());
  std::vector<std::pair<const std::string*, const Entry*>> in_order;
  in_order.reserve(entries.size());
  for (const auto& [name, entry] : entries) in_order.emplace_back(&name, &entry);
  std::sort(in_order.begin(), in_order.end(),
            [](const auto& a, const auto& b) { return *a.second->offsets < *b.second->offsets; });
  std::uint64_t covered = 0;
  for (const auto& [name, entry] : in_order) {
    const std::uint64_t begin = (*entry->offsets)[0];
    const std::uint64_t end = (*entry->offsets)[1];
    const std::string tensor = where + " tensor " + in_quotes(*name);
    if (begin != covered || end < begin || end > data.size()) {
      return refuse_file(tensor, fmt::format("bytes {} to {}", begin, end),
                         fmt::format("tensors back to back: from {} to at most {}", covered, data.size()));
    }
    const std::optional<std::uint64_t> bytes = byte_count(*entry->type, *entry->shape);
    if (!bytes || *bytes != end - begin) {
      return refuse_file(tensor, fmt::format("{} bytes", end - begin),
                         bytes ? fmt::format("{} for its dtype and shape", *bytes)
                               : "a shape that fills whole bytes and fits 64 bits");
    }
    view.tensors_.emplace(*name, StoredTensor{*entry->type, *entry->shape, data.subspan(begin, end - begin)});
    covered = end;
  }
  if (covered != data.size()) {
    return refuse_file(where, fmt::format("{} bytes after the last tensor", data.size() - covered), "none");
  }
  return view;
}

const StoredTensor* SafetensorsView::find(std::string_view name) const {
  const auto place = tensors_.find(name);
  return place == tensors_.end() ? nullptr : &place->second;
}

Expected<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  Expected<MappedFile> mapped = MappedFile::open(path, true);
  if (!mapped) return tl::unexpected(std::move(mapped).error());
  Expected<SafetensorsView> view = SafetensorsView::parse(mapped->bytes(), path.string());
  if (!view) return tl::unexpected(std::move(view).error());
  SafetensorsFile file;
  file.file_ = std::move(*mapped);  // the map does not move, so the view stays good
  file.view_ = std::move(*view);
  return file;
}

}  // namespace megalith
