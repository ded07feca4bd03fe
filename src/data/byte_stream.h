// The bytes of a file, unpacked where it is compressed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

namespace megalith {

// Compression is told by the first bytes (gzip, zstd, or none), not by the name. Files of several members or
// frames, one after the other, are one stream. Memory: a portion of the file, and what the decoder's window
// needs, at most 128 MiB.
class ByteStream {
 public:
  // Throws RefusedInput for what InputFile::open refuses.
  static std::unique_ptr<ByteStream> open(const std::filesystem::path& path);

  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  // Up to `size` bytes (at least one) into `out`; 0 at the end. Throws RefusedInput, with the offset in the
  // file, where it is damaged or cut off, and where it unpacks to more than 1,024 times its size.
  virtual std::size_t read(char* out, std::size_t size) = 0;

  // Of the file itself, as far as it has been read: all of it when read() has given 0.
  [[nodiscard]] virtual std::int64_t file_bytes() const = 0;
  [[nodiscard]] virtual std::uint64_t file_digest() const = 0;
};

}  // namespace megalith
