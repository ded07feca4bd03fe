// Token files: PREFIX.bin holds ids back to back, PREFIX.idx says where sequences and documents begin
// (docs/formats.md; the layout of Megatron's indexed datasets).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "data/document_facts.h"
#include "data/token_meta.h"
#include "data/token_type.h"

namespace megalith {

struct TokenRange {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

// Mapped read-only; costs no memory beyond the pages in use. Every method may be called from many threads at
// once.
class TokenFile {
 public:
  // `prefix` is the path without ".bin" and ".idx"; a .meta.json and .documents beside them are read too.
  // Refused: whatever in the index is not as the layout says, and a .bin of another size than the index adds
  // up to. Reads nothing of the .bin. Of an index with more than 2^24 entries, which would take its time,
  // only the ends are read: check_index() reads the rest, and what is wrong in there is refused when it is
  // met.
  static Expected<std::shared_ptr<const TokenFile>> open(const std::filesystem::path& prefix);

  // Every entry of the index.
  [[nodiscard]] Expected<void> check_index() const;

  [[nodiscard]] std::int64_t num_tokens() const { return num_tokens_; }
  [[nodiscard]] std::int64_t num_documents() const { return num_documents_; }
  [[nodiscard]] std::int64_t num_sequences() const { return num_sequences_; }
  [[nodiscard]] std::string path() const { return bin_path_.string(); }  // of the .bin, for messages
  [[nodiscard]] TokenType type() const { return type_; }
  [[nodiscard]] std::string_view type_name() const { return token_type_name(type_); }  // "uint16"

  // From PREFIX.meta.json, where there is one.
  [[nodiscard]] const std::optional<TokenMeta>& meta() const { return meta_; }
  [[nodiscard]] const DocumentFacts& facts() const { return facts_; }

  // The tokens of a sequence; of document d. Documents may be empty. Throws RefusedInput for a damaged entry
  // of an index that open() did not check.
  [[nodiscard]] TokenRange sequence(std::int64_t s) const;
  [[nodiscard]] TokenRange document(std::int64_t d) const;

  // REQUIRES: 0 <= token < num_tokens().
  [[nodiscard]] std::int64_t document_of(std::int64_t token) const;

  // REQUIRES: 0 <= begin, 0 <= count, begin + count <= num_tokens(). A stored number that is no id (negative,
  // or above the int32 range) reads as 2^31 - 1, which is in no vocabulary.
  void read(std::int64_t begin, std::int64_t count, std::int32_t* out) const;

  // -1 when there are no tokens. The first call reads the whole .bin.
  [[nodiscard]] std::int32_t largest_id() const;

 private:
  TokenFile() = default;
  Expected<void> parse_header();
  Expected<void> check_ends() const;
  Expected<void> read_companions(const std::filesystem::path& prefix);
  Expected<void> check_sequences() const;
  Expected<void> check_documents() const;
  [[nodiscard]] std::int64_t first_sequence_of(std::int64_t d) const;
  [[nodiscard]] std::int64_t first_token_of(std::int64_t d) const;
  [[noreturn]] void refuse_entry(const char* what, std::int64_t number) const;

  std::filesystem::path bin_path_, idx_path_;
  MappedFile bin_, idx_;
  std::optional<TokenMeta> meta_;
  DocumentFacts facts_;
  TokenType type_ = TokenType::uint16;
  std::int64_t num_sequences_ = 0;
  std::int64_t num_documents_ = 0;
  std::int64_t num_tokens_ = 0;
  // Where the three arrays of the index begin; their entries are not aligned.
  const std::byte* lengths_ = nullptr;
  const std::byte* offsets_ = nullptr;
  const std::byte* documents_ = nullptr;
  mutable std::once_flag scanned_;
  mutable std::int32_t largest_id_ = -1;
};

}  // namespace megalith
