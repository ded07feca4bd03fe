// Files: bounded reads, read-only maps, atomic writes. World failures throw WorldFailed with path and errno
// text; input that is not what it should be is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace megalith {

// The whole of a regular file. Refused: missing, unreadable, not a regular file (FIFO, device, folder), or
// larger than `limit` bytes.
Expected<std::string> read_file(const std::filesystem::path& path, std::size_t limit);

// Read-only map of a regular file; empty files give an empty span. Refuses like read_file.
class MappedFile {
 public:
  // stay_open: for read(); takes one of the process's descriptors.
  static Expected<MappedFile> open(const std::filesystem::path& path, bool stay_open = false);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  [[nodiscard]] bool holds(std::span<const std::byte> part) const {
    return part.data() >= data_ && part.data() + part.size() <= data_ + size_;
  }
  // Copies bytes of the map without touching their pages: where much is read once, mapping a page, and
  // unmapping it, takes longer than copying it. False where the file has not so many bytes any more or cannot
  // be read. Several threads may. REQUIRES: stay_open.
  [[nodiscard]] bool read(std::span<const std::byte> part, void* to) const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int descriptor_ = -1;
};

// Gives the memory of a map's bytes back: what was read stays in the file and is read again when it is
// touched. Whole pages inside of `bytes`; advice only, so nothing depends on it but the memory.
void release_pages(std::span<const std::byte> bytes);

// Sequential reader of a regular file, for files that would fill the memory and files that may shrink while
// they are read, which a map does not survive. Refuses like read_file.
class InputFile {
 public:
  static Expected<InputFile> open(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();
  // Up to `size` bytes (at least one); 0 at the end. Throws WorldFailed.
  std::size_t read(char* out, std::size_t size);

 private:
  InputFile(std::filesystem::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Sequential writer. Every byte is written or WorldFailed is thrown.
class OutputFile {
 public:
  // Creates or truncates; with append, keeps what is there.
  explicit OutputFile(std::filesystem::path path, bool append = false);
  ~OutputFile();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  void write(const void* data, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void sync();   // data has reached the disk
  void close();  // throws where the destructor could not
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Writes `text` under a temporary name beside `path`, syncs and renames: readers see the old or the new,
// never half.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// Makes a rename or creation in `folder` durable.
void sync_folder(const std::filesystem::path& folder);

// Throws WorldFailed when fewer than `bytes` are free where `folder` lies.
void require_free_space(const std::filesystem::path& folder, std::uint64_t bytes);

}  // namespace megalith
