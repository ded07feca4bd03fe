#include "data/text_file.h"

namespace megalith {

Expected<TextFile> TextFile::open(const std::filesystem::path& path) {
  Expected<MappedFile> mapped = MappedFile::open(path);
  if (!mapped) return tl::unexpected(std::move(mapped).error());
  TextFile file;
  file.file_ = std::move(*mapped);
  const std::string_view bytes = file.file_.text();
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (bytes.substr(0, kMark.size()) == kMark) file.mark_bytes_ = kMark.size();
  if (bytes.size() == file.mark_bytes_) {
    return refuse({.where = path.string(), .found = "no text", .allowed = "a file with text", .nearest = ""});
  }
  if (const std::size_t at = bytes.find('\0'); at != std::string_view::npos) {
    return refuse({.where = path.string(),
                   .found = fmt::format("a NUL byte at offset {}, so this is not plain text", at),
                   .allowed = "text in UTF-8",
                   .nearest = ""});
  }
  return file;
}

Expected<std::unique_ptr<TextFiles>> TextFiles::open(std::span<const std::filesystem::path> paths) {
  auto source = std::make_unique<TextFiles>();
  Refusals refusals;
  if (paths.empty()) {
    refusals.push_back({.where = "text files", .found = "none", .allowed = "one or more", .nearest = ""});
  }
  for (const std::filesystem::path& path : paths) {
    Expected<TextFile> file = TextFile::open(path);
    if (file) {
      source->files_.push_back(std::move(*file));
    } else {
      refusals.insert(refusals.end(), file.error().begin(), file.error().end());
    }
  }
  if (!refusals.empty()) return refuse(std::move(refusals));
  return source;
}

bool TextFiles::next(std::string_view& text) {
  if (at_ == files_.size()) return false;
  text = files_[at_++].text();
  return true;
}

}  // namespace megalith
