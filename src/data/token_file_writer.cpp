#include "data/token_file_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "data/token_file_names.h"
#include "data/token_index.h"

namespace megalith {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
constexpr std::int64_t kLongestSequence = std::numeric_limits<std::int32_t>::max();

// The folder of `prefix`, created if need be.
std::filesystem::path folder_of(const std::filesystem::path& prefix) {
  const std::filesystem::path folder =
      prefix.has_parent_path() ? prefix.parent_path() : std::filesystem::path(".");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw WorldFailed(fmt::format("creating folder {}: {}", folder.string(), error.message()));
  return folder;
}

void remove_if_there(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) throw WorldFailed(fmt::format("removing {}: {}", path.string(), error.message()));
}

void rename_to(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (error) throw WorldFailed(fmt::format("renaming to {}: {}", to.string(), error.message()));
}

template <class Stored>
void put(std::string& bytes, Stored value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class Stored>
void put_ids(std::string& bytes, std::span<const std::int32_t> ids) {
  for (const std::int32_t id : ids) {
    MEGALITH_CHECK(
        id >= 0 && static_cast<std::int64_t>(id) <= std::int64_t{std::numeric_limits<Stored>::max()}, "id {}",
        id);
    put(bytes, static_cast<Stored>(id));
  }
}

}  // namespace

TokenFileWriter::TokenFileWriter(std::filesystem::path prefix, TokenType type)
    : prefix_(std::move(prefix)),
      temporary_bin_(temporary_of(with_suffix(prefix_, ".bin"))),
      temporary_idx_(temporary_of(with_suffix(prefix_, ".idx"))),
      type_(type),
      bin_((folder_of(prefix_), temporary_bin_)) {}

TokenFileWriter::~TokenFileWriter() {
  if (published_) return;
  std::error_code ignored;
  std::filesystem::remove(temporary_bin_, ignored);
  std::filesystem::remove(temporary_idx_, ignored);
}

void TokenFileWriter::append(std::span<const std::int32_t> ids) {
  while (!ids.empty()) {
    if (open_tokens_ == kLongestSequence) end_sequence();
    const auto room = static_cast<std::size_t>(kLongestSequence - open_tokens_);
    const std::span<const std::int32_t> part = ids.first(std::min({ids.size(), room, kBufferBytes}));
    store(part);
    open_tokens_ += static_cast<std::int64_t>(part.size());
    num_tokens_ += static_cast<std::int64_t>(part.size());
    ids = ids.subspan(part.size());
  }
}

void TokenFileWriter::store(std::span<const std::int32_t> ids) {
  switch (type_) {
    case TokenType::uint8:
      put_ids<std::uint8_t>(buffer_, ids);
      break;
    case TokenType::int8:
      put_ids<std::int8_t>(buffer_, ids);
      break;
    case TokenType::int16:
      put_ids<std::int16_t>(buffer_, ids);
      break;
    case TokenType::int32:
      put_ids<std::int32_t>(buffer_, ids);
      break;
    case TokenType::int64:
      put_ids<std::int64_t>(buffer_, ids);
      break;
    case TokenType::uint16:
      put_ids<std::uint16_t>(buffer_, ids);
      break;
  }
  if (buffer_.size() >= kBufferBytes) flush();
}

void TokenFileWriter::flush() {
  bin_digest_.update(buffer_.data(), buffer_.size());
  bin_.write(buffer_);
  buffer_.clear();
}

void TokenFileWriter::end_sequence() {
  lengths_.push_back(static_cast<std::int32_t>(open_tokens_));
  open_tokens_ = 0;
}

void TokenFileWriter::end_document() {
  end_sequence();
  documents_.push_back(static_cast<std::int64_t>(lengths_.size()));
  ++num_documents_;
}

std::uint64_t TokenFileWriter::write_index() const {
  OutputFile file(temporary_idx_);
  Digester digester;
  std::string bytes(token_index::kMagic);
  const auto write = [&] {
    digester.update(bytes.data(), bytes.size());
    file.write(bytes);
    bytes.clear();
  };
  const auto put_next = [&](auto value) {
    put(bytes, value);
    if (bytes.size() >= kBufferBytes) write();
  };
  put_next(token_index::kVersion);
  put_next(static_cast<std::uint8_t>(type_));
  put_next(std::uint64_t{lengths_.size()});
  put_next(std::uint64_t{documents_.size()});
  for (const std::int32_t length : lengths_) put_next(length);
  std::int64_t offset = 0;
  for (const std::int32_t length : lengths_) {
    put_next(offset);
    offset += length * static_cast<std::int64_t>(token_type_size(type_));
  }
  for (const std::int64_t first : documents_) put_next(first);
  write();
  file.sync();
  file.close();
  return digester.value();
}

TokenFileWriter::Digests TokenFileWriter::seal() {
  MEGALITH_CHECK(open_tokens_ == 0, "a document is open");
  flush();
  bin_.sync();
  bin_.close();
  const Digests digests{.bin = bin_digest_.value(), .idx = write_index()};
  lengths_ = {};
  documents_ = {};
  buffer_ = {};
  return digests;
}

void TokenFileWriter::publish_as(const std::filesystem::path& prefix, std::string_view meta,
                                 const std::filesystem::path& facts) {
  // First of all the old index: a pair is there when its index is.
  for (const char* suffix : {".idx", ".meta.json", ".documents"})
    remove_if_there(with_suffix(prefix, suffix));
  rename_to(temporary_bin_, with_suffix(prefix, ".bin"));
  if (!meta.empty()) write_file_atomically(with_suffix(prefix, ".meta.json"), meta);
  if (!facts.empty()) rename_to(facts, with_suffix(prefix, ".documents"));
  rename_to(temporary_idx_, with_suffix(prefix, ".idx"));
  published_ = true;
  sync_folder(folder_of(prefix));
}

}  // namespace megalith
