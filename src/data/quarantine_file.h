// PREFIX.quarantine.jsonl: what was left out of token files, where it was and why.
//   {"file": ..., "offset": ..., "bytes": ..., "reason": ..., "excerpt": ...} on each line; the offset is
//   that of the file's text, unpacked
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/file.h"
#include "data/record_text.h"

namespace megalith {

// Written under a temporary name, which the destructor removes unless publish() came first.
class QuarantineFile {
 public:
  explicit QuarantineFile(const std::filesystem::path& prefix);
  ~QuarantineFile();
  QuarantineFile(const QuarantineFile&) = delete;
  QuarantineFile& operator=(const QuarantineFile&) = delete;

  void add(const std::string& file, const Quarantined& quarantined);
  // Puts the file in its place; where nothing was quarantined there is none, and an old one goes.
  void publish();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_, temporary_;
  std::optional<OutputFile> file_;
};

}  // namespace megalith
