#include "run/digested_file.h"

#include <algorithm>
#include <utility>

namespace megalith {

FileDigests digest_chunks(std::span<const std::byte> bytes, std::uint64_t chunk_bytes) {
  FileDigests result{.bytes = bytes.size(), .digests = {}};
  for (std::uint64_t begin = 0; begin < bytes.size(); begin += chunk_bytes) {
    const std::uint64_t size = std::min<std::uint64_t>(chunk_bytes, bytes.size() - begin);
    result.digests.push_back(digest_bytes(bytes.data() + begin, size));
  }
  return result;
}

DigestedFile::DigestedFile(std::filesystem::path path, std::uint64_t chunk_bytes)
    : file_(std::move(path)), chunk_bytes_(chunk_bytes) {
  MEGALITH_CHECK(chunk_bytes > 0);
}

void DigestedFile::write(const void* data, std::size_t size) {
  file_.write(data, size);
  result_.bytes += size;
  const auto* next = static_cast<const std::byte*>(data);
  while (size > 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(size, chunk_bytes_ - partial_.size()));
    if (part == chunk_bytes_) {  // a whole chunk in place needs no copy
      result_.digests.push_back(digest_bytes(next, part));
    } else {
      partial_.insert(partial_.end(), next, next + part);
      if (partial_.size() == chunk_bytes_) end_chunk();
    }
    next += part;
    size -= part;
  }
}

void DigestedFile::end_chunk() {
  result_.digests.push_back(digest_bytes(partial_.data(), partial_.size()));
  partial_.clear();
}

FileDigests DigestedFile::finish() {
  if (!partial_.empty()) end_chunk();
  file_.sync();
  file_.close();
  return std::move(result_);
}

}  // namespace megalith
