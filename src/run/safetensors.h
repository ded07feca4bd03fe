// safetensors: a header of JSON, then the bytes of named tensors, back to back.
//
//   offset 0      u64, little-endian: size N of the header, at most 100,000,000
//   offset 8      N bytes of UTF-8 JSON, an object, possibly padded with spaces:
//                 {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}; offsets
//                 count from 8 + N, `end` is exclusive. "__metadata__" maps strings to strings.
//   offset 8 + N  the data; in offset order the tensors cover it without hole or overlap
//
// Reading never copies: tensors are spans of the file's map. Whatever the bytes are, they are accepted as a
// whole or refused with a reason; memory stays proportional to the header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/tensor.h"
#include "run/digested_file.h"

namespace megalith {

// Every element type the format names. The last three are packed: a tensor fills whole bytes.
enum class StoredType : std::uint8_t {
  boolean,
  u8,
  i8,
  i16,
  u16,
  i32,
  u32,
  i64,
  u64,
  f16,
  bf16,
  f32,
  f64,
  c64,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  f4,
  f6_e2m3,
  f6_e3m2
};
const char* name_of(StoredType type);  // as in the file: "F32", "BF16", ...
unsigned bits_of(StoredType type);     // per element
StoredType stored_type(DType dtype);
std::optional<DType> computable(StoredType type);  // none for types that tensors of this program cannot hold

struct StoredTensor {
  StoredType type = StoredType::f32;
  std::vector<std::uint64_t> shape;  // row-major, outermost first; empty for a scalar; at most 32 extents
  std::span<const std::byte> bytes;  // may start at any address: copy, or check the alignment
};

// What a safetensors file holds, as a view of bytes that must outlive it.
class SafetensorsView {
 public:
  static constexpr std::uint64_t max_header_bytes = 100'000'000;
  // Where the header claims to end, 8 + N, whatever the claim is worth; 0 for files too short to claim
  // anything.
  static std::uint64_t claimed_header_end(std::span<const std::byte> file);
  // `where` begins every refusal: the file's path.
  static Expected<SafetensorsView> parse(std::span<const std::byte> file, const std::string& where);

  [[nodiscard]] const std::map<std::string, StoredTensor, std::less<>>& tensors() const { return tensors_; }
  [[nodiscard]] const StoredTensor* find(std::string_view name) const;  // null when there is none
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::map<std::string, StoredTensor, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

// A mapped file and the view of it, and the file for reading much of it.
class SafetensorsFile {
 public:
  static Expected<SafetensorsFile> open(const std::filesystem::path& path);
  [[nodiscard]] const SafetensorsView& view() const { return view_; }
  [[nodiscard]] const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  SafetensorsView view_;
};

struct TensorDeclaration {
  std::string name;  // UTF-8, unique in its file
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
};

// The header for tensors in this order, size field and padding included: data starts at a multiple of 64.
std::string safetensors_header(std::span<const TensorDeclaration> tensors,
                               const std::map<std::string, std::string>& metadata);

// Writes a file front to back: tensors are declared first, then appended in the same order. The same calls
// give the same bytes. Throws WorldFailed.
class SafetensorsWriter {
 public:
  SafetensorsWriter(std::filesystem::path path, std::span<const TensorDeclaration> tensors,
                    const std::map<std::string, std::string>& metadata,
                    std::uint64_t chunk_bytes = DigestedFile::default_chunk_bytes);
  // The next declared tensor; row-strided views are written dense. REQUIRES: the declared dtype and count.
  void append(const Tensor& tensor);
  // Syncs and closes. REQUIRES: every declared tensor was appended.
  FileDigests finish();

 private:
  DigestedFile file_;
  std::vector<TensorDeclaration> tensors_;
  std::size_t next_ = 0;
};

}  // namespace megalith
