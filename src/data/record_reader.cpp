#include "data/record_reader.h"

#include <utility>

#include "core/error.h"
#include "data/input_paths.h"
#include "data/text_blocks.h"

namespace megalith {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::size_t kPortion = std::size_t{256} << 10;

}  // namespace

RecordReader::RecordReader(std::vector<std::filesystem::path> files, std::size_t block_bytes)
    : paths_(std::move(files)), block_bytes_(block_bytes) {}

bool RecordReader::next(RecordBatch& batch, std::size_t wanted) {
  batch.bytes.clear();
  batch.records.clear();
  for (;;) {
    if (stream_ == nullptr) {
      if (done_.size() == paths_.size()) return false;
      open_next();
    }
    while (batch.bytes.size() < wanted && (!pending().empty() || fill())) {
      if (is_json_) {
        add_line(batch);
      } else {
        add_block(batch);
      }
    }
    if (pending().empty() && ended_) close();
    if (!batch.records.empty()) return true;
  }
}

void RecordReader::open_next() {
  const std::filesystem::path& path = paths_[done_.size()];
  stream_ = ByteStream::open(path);
  is_json_ = is_json_lines(path);
  ended_ = false;
  facts_ = {.path = path};
  pending_.clear();
  at_ = 0;
  offset_ = 0;
  while (pending_.size() < kByteOrderMark.size() && fill()) {
  }
  if (!pending_.starts_with(kByteOrderMark)) return;
  facts_.mark_bytes = kByteOrderMark.size();
  at_ += kByteOrderMark.size();
  offset_ += static_cast<std::int64_t>(kByteOrderMark.size());
}

void RecordReader::close() {
  facts_.file_bytes = stream_->file_bytes();
  facts_.digest = stream_->file_digest();
  done_.push_back(std::move(facts_));
  stream_ = nullptr;
}

bool RecordReader::fill() {
  if (ended_) return false;
  pending_.erase(0, at_);
  at_ = 0;
  const std::size_t before = pending_.size();
  pending_.resize(before + kPortion);
  const std::size_t got = stream_->read(pending_.data() + before, kPortion);
  pending_.resize(before + got);
  facts_.text_bytes += static_cast<std::int64_t>(got);
  ended_ = got == 0;
  if (is_json_ || ended_) return !ended_;
  if (const std::size_t nul = pending_.find('\0', before); nul != std::string::npos) {
    throw RefusedInput({{.where = facts_.path.string(),
                         .found = fmt::format("a NUL byte at offset {}, so this is not plain text",
                                              offset_ + static_cast<std::int64_t>(nul)),
                         .allowed = "text in UTF-8",
                         .nearest = ""}});
  }
  return true;
}

// The first `size` bytes become a record and they and `line_end` more are done with.
void RecordReader::take(RecordBatch& batch, std::size_t size, std::size_t line_end) {
  const auto bytes = static_cast<std::int64_t>(size + line_end);
  batch.records.push_back({.begin = batch.bytes.size(),
                           .size = size,
                           .offset = offset_,
                           .bytes = bytes,
                           .file = static_cast<std::int32_t>(done_.size()),
                           .is_json = is_json_});
  batch.bytes += pending().substr(0, size);
  at_ += size + line_end;
  offset_ += bytes;
}

void RecordReader::add_block(RecordBatch& batch) {
  // first_block looks this far ahead.
  while (pending().size() <= block_bytes_ + kLongestLine && fill()) {
  }
  take(batch, first_block(pending(), block_bytes_).size(), 0);
}

void RecordReader::add_line(RecordBatch& batch) {
  std::size_t searched = 0;
  for (;;) {
    const std::size_t end = pending().find('\n', searched);
    if (end != std::string_view::npos && end <= kLongestRecord) return take(batch, end, 1);
    searched = pending().size();
    if (searched > kLongestRecord) return skip_long_line(batch);
    if (!fill()) return take(batch, pending().size(), 0);
  }
}

void RecordReader::skip_long_line(RecordBatch& batch) {
  const std::int64_t begin = offset_;
  for (bool found = false; !found;) {
    const std::size_t end = pending().find('\n');
    found = end != std::string_view::npos;
    const std::size_t skipped = found ? end + 1 : pending().size();
    at_ += skipped;
    offset_ += static_cast<std::int64_t>(skipped);
    if (!found && !fill()) break;
  }
  batch.records.push_back({.begin = batch.bytes.size(),
                           .offset = begin,
                           .bytes = offset_ - begin,
                           .file = static_cast<std::int32_t>(done_.size()),
                           .is_json = true,
                           .too_long = true});
}

}  // namespace megalith
