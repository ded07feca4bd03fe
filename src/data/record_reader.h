// Cuts text files into records: lines of JSON, or blocks of plain text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_stream.h"

namespace megalith {

// A longer line of JSON is not kept in memory: it comes as a record that says how long it was.
inline constexpr std::size_t kLongestRecord = std::size_t{64} << 20;

struct Record {
  std::size_t begin = 0, size = 0;  // in the batch's bytes; a line without its end
  std::int64_t offset = 0;          // of the file's text, unpacked, from 0
  std::int64_t bytes = 0;           // of that text that the record stands for, line end included
  std::int32_t file = 0;            // index into files()
  bool is_json = false;
  bool too_long = false;  // size is 0, bytes tells how long
};

struct RecordBatch {
  std::string bytes;
  std::vector<Record> records;
  [[nodiscard]] std::string_view text_of(const Record& record) const {
    return std::string_view(bytes).substr(record.begin, record.size);
  }
};

class RecordReader {
 public:
  struct FileFacts {
    std::filesystem::path path;
    std::int64_t file_bytes = 0;  // as it lies on the disk
    std::uint64_t digest = 0;     // of these
    std::int64_t text_bytes = 0;  // unpacked
    std::int64_t mark_bytes = 0;  // byte order mark, in no record
  };

  // Plain text is cut as text_blocks.h says. REQUIRES: block_bytes >= 1.
  RecordReader(std::vector<std::filesystem::path> files, std::size_t block_bytes);

  // Replaces the batch by the next records, about `wanted` bytes and at least one record, all of one file.
  // False at the end. Where the records lie in batches depends on the files and `wanted` alone. Throws
  // RefusedInput for damaged files, and for a NUL byte in plain text, which no text has and every image,
  // archive and UTF-16 text does. Memory: about `wanted` and the longest record, twice.
  bool next(RecordBatch& batch, std::size_t wanted);

  // Of the files that have been read to their end, in order.
  [[nodiscard]] const std::vector<FileFacts>& files() const { return done_; }

 private:
  void open_next();
  void close();
  bool fill();  // more text into pending_; false at the end of the file
  void add_block(RecordBatch& batch);
  void add_line(RecordBatch& batch);
  void skip_long_line(RecordBatch& batch);
  void take(RecordBatch& batch, std::size_t size, std::size_t line_end);
  [[nodiscard]] std::string_view pending() const { return std::string_view(pending_).substr(at_); }

  std::vector<std::filesystem::path> paths_;
  std::size_t block_bytes_;
  std::vector<FileFacts> done_;
  std::unique_ptr<ByteStream> stream_;
  bool is_json_ = false;
  bool ended_ = false;   // stream_ has no more
  FileFacts facts_;      // of stream_
  std::string pending_;  // text that is in no record yet, from at_ on
  std::size_t at_ = 0;
  std::int64_t offset_ = 0;  // of pending_[at_] in the file's text
};

}  // namespace megalith
