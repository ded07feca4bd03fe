// A file written front to back whose chunks are digested on the way, so that damage can later be named by
// chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "core/digest.h"
#include "core/file.h"

namespace megalith {

struct FileDigests {
  std::uint64_t bytes = 0;             // size of the file
  std::vector<std::uint64_t> digests;  // XXH3-64 of each chunk, the last one possibly short
  bool operator==(const FileDigests&) const = default;
};

// Of bytes in memory; equal to what DigestedFile finds when it writes them.
FileDigests digest_chunks(std::span<const std::byte> bytes, std::uint64_t chunk_bytes);

class DigestedFile {
 public:
  static constexpr std::uint64_t default_chunk_bytes = 1 << 20;
  // Creates or truncates. REQUIRES: chunk_bytes > 0.
  DigestedFile(std::filesystem::path path, std::uint64_t chunk_bytes);
  void write(const void* data, std::size_t size);
  FileDigests finish();  // syncs and closes

 private:
  void end_chunk();
  OutputFile file_;
  std::uint64_t chunk_bytes_;
  std::vector<std::byte> partial_;  // the head of a chunk that several writes fill
  FileDigests result_;
};

}  // namespace megalith
