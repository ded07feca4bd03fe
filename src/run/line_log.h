// A file of JSON objects, one a line, that only grows. A line goes out in one write(), so that a process
// killed in the middle leaves at most one torn line, at the end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/file.h"

namespace megalith {

// Called per line with its text (without the line feed), its number from 1, and the offset just after it.
// Returns whether the line is good; a refusal for why not.
using LineReader =
    std::function<Expected<void>(std::string_view line, std::int64_t number, std::uint64_t end)>;

struct LogExtent {
  std::uint64_t good_bytes = 0;  // up to and with the last good line
  bool unended = false;          // the last good line lacks its line feed
  std::string torn;              // what follows the good bytes: the head of a line that was being written
};

// Reads `text` line by line. A bad line is refused with its number, except a last one without line feed: that
// one was torn. `where` is the path, for messages.
Expected<LogExtent> read_lines(std::string_view text, const std::string& where, const LineReader& reader);

class LineLog {
 public:
  // Opens for appending and makes the file end with its last good line. Throws WorldFailed.
  LineLog(const std::filesystem::path& path, const LogExtent& extent);
  void append(std::string line);  // without line feed; REQUIRES: holds none
  void sync() { file_.sync(); }   // what was appended has reached the disk

 private:
  OutputFile file_;
};

}  // namespace megalith
