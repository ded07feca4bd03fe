#include <set>
#include <utility>

#include "run/json_fields.h"
#include "run/safetensors.h"

namespace megalith {
namespace {

constexpr std::size_t kDataAlignment = 64;  // a cache line, and what the vector kernels like

std::int64_t element_count(const TensorDeclaration& tensor) {
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.shape) count *= extent;
  return count;
}

}  // namespace

std::string safetensors_header(std::span<const TensorDeclaration> tensors,
                               const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::string text = dump_json(header);
  text.pop_back();  // the closing brace: tensors are appended as text, because an ordered object inserts in
                    // O(n)
  std::set<std::string_view> names;
  std::uint64_t offset = 0;
  for (const TensorDeclaration& tensor : tensors) {
    MEGALITH_CHECK(names.insert(tensor.name).second, "tensor {} twice", tensor.name);
    const std::uint64_t end =
        offset + static_cast<std::uint64_t>(element_count(tensor)) * size_of(tensor.dtype);
    if (text.size() > 1) text += ',';
    text += fmt::format(R"({}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                        dump_json(nlohmann::json(tensor.name)), name_of(stored_type(tensor.dtype)),
                        dump_json(nlohmann::json(tensor.shape)), offset, end);
    offset = end;
  }
  text += '}';
  while ((8 + text.size()) % kDataAlignment != 0) text += ' ';
  MEGALITH_CHECK(text.size() <= SafetensorsView::max_header_bytes, "a header of {} bytes", text.size());
  std::string size(8, '\0');
  for (std::size_t b = 0; b < 8; ++b) size[b] = static_cast<char>(text.size() >> (8 * b) & 0xff);
  return size + text;
}

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, std::span<const TensorDeclaration> tensors,
                                     const std::map<std::string, std::string>& metadata,
                                     std::uint64_t chunk_bytes)
    : file_(std::move(path), chunk_bytes), tensors_(tensors.begin(), tensors.end()) {
  const std::string header = safetensors_header(tensors, metadata);
  file_.write(header.data(), header.size());
}

void SafetensorsWriter::append(const Tensor& tensor) {
  MEGALITH_CHECK(next_ < tensors_.size(), "more tensors than declared");
  const TensorDeclaration& declared = tensors_[next_++];
  MEGALITH_CHECK(tensor.dtype == declared.dtype && tensor.count() == element_count(declared), "{}: {}",
                 declared.name, describe(tensor));
  const auto* first = static_cast<const std::byte*>(tensor.data);
  const auto row_bytes = static_cast<std::size_t>(tensor.columns()) * size_of(tensor.dtype);
  if (tensor.dense()) {
    file_.write(first, row_bytes * static_cast<std::size_t>(tensor.rows()));
    return;
  }
  const auto stride_bytes = static_cast<std::size_t>(tensor.row_stride) * size_of(tensor.dtype);
  for (std::int64_t r = 0; r < tensor.rows(); ++r) {
    file_.write(first + static_cast<std::size_t>(r) * stride_bytes, row_bytes);
  }
}

FileDigests SafetensorsWriter::finish() {
  MEGALITH_CHECK(next_ == tensors_.size(), "{} of {} tensors written", next_, tensors_.size());
  return file_.finish();
}

}  // namespace megalith
