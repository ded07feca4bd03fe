// Plain text files to train on.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "data/tokenizer/text_source.h"

namespace megalith {

// Mapped read-only.
class TextFile {
 public:
  // Refused: missing, not a regular file, without text, and files with a NUL byte, which no text has and
  // every image, archive and UTF-16 text does.
  static Expected<TextFile> open(const std::filesystem::path& path);

  // Without the byte order mark. Not always valid UTF-8: that is the tokenizer's to represent.
  [[nodiscard]] std::string_view text() const { return file_.text().substr(mark_bytes_); }
  [[nodiscard]] std::size_t mark_bytes() const { return mark_bytes_; }  // 0 or 3
  [[nodiscard]] std::string_view bytes() const { return file_.text(); }

 private:
  MappedFile file_;
  std::size_t mark_bytes_ = 0;
};

// Several files as one source, a text each, in the order given.
class TextFiles final : public TextSource {
 public:
  // All refusals at once. Keeps the files mapped.
  static Expected<std::unique_ptr<TextFiles>> open(std::span<const std::filesystem::path> paths);

  bool next(std::string_view& text) override;
  [[nodiscard]] std::span<const TextFile> files() const { return files_; }

 private:
  std::vector<TextFile> files_;
  std::size_t at_ = 0;
};

}  // namespace megalith
