#include "data/token_file.h"

#include <algorithm>
#include <limits>

#include "data/token_file_names.h"
#include "data/token_index.h"

namespace megalith {
namespace {

namespace layout = token_index;

tl::unexpected<Refusals> refused(const std::filesystem::path& path, std::string found, std::string allowed) {
  return refuse(
      {.where = path.string(), .found = std::move(found), .allowed = std::move(allowed), .nearest = ""});
}

std::string printable(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    if (c >= 0x20 && c < 0x7f) {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

template <class Stored>
void widen(const std::byte* from, std::int64_t count, std::int32_t* out) {
  constexpr std::int32_t kNoId = std::numeric_limits<std::int32_t>::max();
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value =
        static_cast<std::int64_t>(layout::load<Stored>(from + i * std::int64_t{sizeof(Stored)}));
    out[i] = value < 0 || value > kNoId ? kNoId : static_cast<std::int32_t>(value);
  }
}

}  // namespace

Expected<std::shared_ptr<const TokenFile>> TokenFile::open(const std::filesystem::path& prefix) {
  const std::shared_ptr<TokenFile> file(new TokenFile);
  file->idx_path_ = with_suffix(prefix, ".idx");
  file->bin_path_ = with_suffix(prefix, ".bin");
  Expected<MappedFile> idx = MappedFile::open(file->idx_path_);
  if (!idx) return tl::unexpected(std::move(idx).error());
  Expected<MappedFile> bin = MappedFile::open(file->bin_path_);
  if (!bin) return tl::unexpected(std::move(bin).error());
  file->idx_ = std::move(*idx);
  file->bin_ = std::move(*bin);
  if (Expected<void> ok = file->parse_header(); !ok) return tl::unexpected(std::move(ok).error());
  constexpr std::int64_t kMostChecked = std::int64_t{1} << 24;
  const bool small = file->num_sequences_ + file->num_documents_ <= kMostChecked;
  Expected<void> ok = small ? file->check_index() : file->check_ends();
  if (ok) ok = file->read_companions(prefix);
  if (!ok) return tl::unexpected(std::move(ok).error());
  return file;
}

Expected<void> TokenFile::read_companions(const std::filesystem::path& prefix) {
  Expected<std::optional<TokenMeta>> meta = read_token_meta(with_suffix(prefix, ".meta.json"));
  if (!meta) return tl::unexpected(std::move(meta).error());
  meta_ = std::move(*meta);
  if (!meta_) return {};
  Expected<DocumentFacts> facts = DocumentFacts::open(prefix, *meta_, num_documents_);
  if (!facts) return tl::unexpected(std::move(facts).error());
  facts_ = std::move(*facts);
  return {};
}

Expected<void> TokenFile::check_index() const {
  if (Expected<void> ok = check_sequences(); !ok) return ok;
  return check_documents();
}

// That the last sequence ends where the .bin does and the documents cover all sequences.
Expected<void> TokenFile::check_ends() const {
  if (first_sequence_of(0) != 0 || first_sequence_of(num_documents_) != num_sequences_) {
    return refused(idx_path_, "documents that do not cover the sequences",
                   "the first entry 0 and the last their number");
  }
  if (num_sequences_ == 0) return {};
  const TokenRange last = sequence(num_sequences_ - 1);
  if (last.begin + last.count != num_tokens_) {
    return refused(
        bin_path_, fmt::format("{} tokens of {}", num_tokens_, type_name()),
        fmt::format("{} tokens, as {} adds up to", last.begin + last.count, idx_path_.filename().string()));
  }
  return {};
}

Expected<void> TokenFile::parse_header() {
  const std::string_view text = idx_.text();
  if (text.size() < layout::kHeaderBytes) {
    return refused(idx_path_, fmt::format("{} bytes", text.size()),
                   fmt::format("an index, which has a header of {} bytes", layout::kHeaderBytes));
  }
  const std::string_view magic = text.substr(0, layout::kMagic.size());
  if (magic != layout::kMagic) {
    return refused(idx_path_, fmt::format("first bytes \"{}\"", printable(magic)),
                   fmt::format("\"{}\"", printable(layout::kMagic)));
  }
  const std::byte* header = idx_.bytes().data();
  const auto version = layout::load<std::uint64_t>(header + layout::kVersionAt);
  if (version != layout::kVersion) return refused(idx_path_, fmt::format("version {}", version), "version 1");
  type_ = static_cast<TokenType>(header[layout::kTypeAt]);
  if (token_type_size(type_) == 0) {
    return refused(idx_path_, fmt::format("number type code {}", static_cast<int>(type_)),
                   "1 (uint8), 2 (int8), 3 (int16), 4 (int32), 5 (int64) or 8 (uint16)");
  }
  const auto sequences = layout::load<std::uint64_t>(header + layout::kSequencesAt);
  const auto entries = layout::load<std::uint64_t>(header + layout::kDocumentsAt);
  if (entries == 0) return refused(idx_path_, "0 document entries", "one per document and one more");
  // Divisions first: hostile counts would overflow the products.
  constexpr std::size_t kSequenceBytes = layout::kLengthBytes + layout::kOffsetBytes;
  const std::size_t body = text.size() - layout::kHeaderBytes;
  if (sequences > body / kSequenceBytes || entries > body / layout::kDocumentBytes ||
      sequences * kSequenceBytes + entries * layout::kDocumentBytes != body) {
    return refused(
        idx_path_,
        fmt::format("{} bytes for {} sequences and {} document entries", text.size(), sequences, entries),
        fmt::format("{} bytes and {} per sequence and {} per document entry", layout::kHeaderBytes,
                    kSequenceBytes, layout::kDocumentBytes));
  }
  num_sequences_ = static_cast<std::int64_t>(sequences);
  num_documents_ = static_cast<std::int64_t>(entries - 1);
  lengths_ = header + layout::kHeaderBytes;
  offsets_ = lengths_ + sequences * layout::kLengthBytes;
  documents_ = offsets_ + sequences * layout::kOffsetBytes;
  const std::size_t size = token_type_size(type_);
  if (bin_.bytes().size() % size != 0) {
    return refused(bin_path_, fmt::format("{} bytes", bin_.bytes().size()),
                   fmt::format("a multiple of {} ({})", size, type_name()));
  }
  num_tokens_ = static_cast<std::int64_t>(bin_.bytes().size() / size);
  return {};
}

Expected<void> TokenFile::check_sequences() const {
  const auto size = static_cast<std::int64_t>(token_type_size(type_));
  std::int64_t tokens = 0;  // stays <= num_tokens_
  for (std::int64_t s = 0; s < num_sequences_; ++s) {
    const auto length = layout::load<std::int32_t>(lengths_ + s * std::int64_t{layout::kLengthBytes});
    const auto offset = layout::load<std::int64_t>(offsets_ + s * std::int64_t{layout::kOffsetBytes});
    if (length < 0 || length > num_tokens_ - tokens) {
      return refused(idx_path_, fmt::format("sequence {} of {} tokens", s, length),
                     fmt::format("0..{}, what is left of the {} tokens in {}", num_tokens_ - tokens,
                                 num_tokens_, bin_path_.filename().string()));
    }
    if (offset != tokens * size) {
      return refused(idx_path_, fmt::format("sequence {} at byte {}", s, offset),
                     fmt::format("byte {}, where the sequence before it ends", tokens * size));
    }
    tokens += length;
  }
  if (tokens != num_tokens_) {
    return refused(bin_path_,
                   fmt::format("{} tokens of {} ({} bytes)", num_tokens_, type_name(), num_tokens_ * size),
                   fmt::format("{} tokens, as {} adds up to", tokens, idx_path_.filename().string()));
  }
  return {};
}

Expected<void> TokenFile::check_documents() const {
  std::int64_t before = 0;
  for (std::int64_t d = 0; d <= num_documents_; ++d) {
    const std::int64_t first = first_sequence_of(d);
    const bool last = d == num_documents_;
    if ((d == 0 && first != 0) || first < before || first > num_sequences_ ||
        (last && first != num_sequences_)) {
      return refused(idx_path_, fmt::format("document entry {}: sequence {}", d, first),
                     last     ? fmt::format("{}, the number of sequences", num_sequences_)
                     : d == 0 ? "0"
                              : fmt::format("{}..{}", before, num_sequences_));
    }
    before = first;
  }
  return {};
}

void TokenFile::refuse_entry(const char* what, std::int64_t number) const {
  throw RefusedInput({{.where = idx_path_.string(),
                       .found = fmt::format("a damaged entry of {} {}", what, number),
                       .allowed = "entries in order and inside the files",
                       .nearest = "megalith data verify"}});
}

std::int64_t TokenFile::first_sequence_of(std::int64_t d) const {
  return layout::load<std::int64_t>(documents_ + d * std::int64_t{layout::kDocumentBytes});
}

TokenRange TokenFile::sequence(std::int64_t s) const {
  MEGALITH_CHECK(s >= 0 && s < num_sequences_, "sequence {} of {}", s, num_sequences_);
  const auto offset = layout::load<std::int64_t>(offsets_ + s * std::int64_t{layout::kOffsetBytes});
  const TokenRange range{
      .begin = offset / static_cast<std::int64_t>(token_type_size(type_)),
      .count = layout::load<std::int32_t>(lengths_ + s * std::int64_t{layout::kLengthBytes})};
  if (range.begin < 0 || range.count < 0 || range.begin > num_tokens_ - range.count)
    refuse_entry("sequence", s);
  return range;
}

std::int64_t TokenFile::first_token_of(std::int64_t d) const {
  const std::int64_t first = first_sequence_of(d);
  if (first < 0 || first > num_sequences_) refuse_entry("document", d);
  return first == num_sequences_ ? num_tokens_ : sequence(first).begin;
}

TokenRange TokenFile::document(std::int64_t d) const {
  MEGALITH_CHECK(d >= 0 && d < num_documents_, "document {} of {}", d, num_documents_);
  const std::int64_t begin = first_token_of(d);
  const std::int64_t end = first_token_of(d + 1);
  if (end < begin) refuse_entry("document", d);
  return {.begin = begin, .count = end - begin};
}

std::int64_t TokenFile::document_of(std::int64_t token) const {
  MEGALITH_CHECK(token >= 0 && token < num_tokens_, "token {} of {}", token, num_tokens_);
  // The last document that begins at or before the token; empty ones in front of it begin there too.
  std::int64_t low = 0, high = num_documents_ - 1;
  while (low < high) {
    const std::int64_t middle = high - (high - low) / 2;
    if (first_token_of(middle) <= token) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

void TokenFile::read(std::int64_t begin, std::int64_t count, std::int32_t* out) const {
  MEGALITH_CHECK(begin >= 0 && count >= 0 && count <= num_tokens_ && begin <= num_tokens_ - count,
                 "tokens {}+{} of {}", begin, count, num_tokens_);
  const std::byte* from = bin_.bytes().data() + begin * static_cast<std::int64_t>(token_type_size(type_));
  switch (type_) {
    case TokenType::uint8:
      return widen<std::uint8_t>(from, count, out);
    case TokenType::int8:
      return widen<std::int8_t>(from, count, out);
    case TokenType::int16:
      return widen<std::int16_t>(from, count, out);
    case TokenType::int32:
      return widen<std::int32_t>(from, count, out);
    case TokenType::int64:
      return widen<std::int64_t>(from, count, out);
    case TokenType::uint16:
      return widen<std::uint16_t>(from, count, out);
  }
}

std::int32_t TokenFile::largest_id() const {
  std::call_once(scanned_, [this] {
    std::int32_t ids[4096];
    for (std::int64_t begin = 0; begin < num_tokens_;) {
      const std::int64_t count = std::min<std::int64_t>(std::size(ids), num_tokens_ - begin);
      read(begin, count, ids);
      largest_id_ = std::max(largest_id_, *std::max_element(ids, ids + count));
      begin += count;
    }
  });
  return largest_id_;
}

}  // namespace megalith
