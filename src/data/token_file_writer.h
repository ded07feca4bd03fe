// Writes token files, one document after the other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.h"
#include "core/file.h"
#include "data/token_type.h"

namespace megalith {

// Both files are written under temporary names; publish() gives them theirs, the .idx last, so that a pair is
// never half there. Without publish() the destructor removes them. Memory until seal(): 4 bytes per sequence,
// 8 per document. Everything may throw WorldFailed.
class TokenFileWriter {
 public:
  // `prefix` as for TokenFile::open. Creates the folder it lies in.
  TokenFileWriter(std::filesystem::path prefix, TokenType type);
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  // Adds to the current document. REQUIRES: ids that the type can hold.
  void append(std::span<const std::int32_t> ids);
  // A document is one sequence (several where it is too long for an int32 count).
  void end_document();

  struct Digests {
    std::uint64_t bin = 0;
    std::uint64_t idx = 0;
  };
  // Completes both files under their temporary names. REQUIRES: no document is open; called once.
  Digests seal();

  // After seal(). `meta`, unless empty, becomes PREFIX.meta.json, and what the file `facts` holds, unless it
  // is empty, PREFIX.documents; old ones go in any case.
  void publish(std::string_view meta) { publish_as(prefix_, meta, {}); }
  // Under another prefix in the same folder.
  void publish_as(const std::filesystem::path& prefix, std::string_view meta,
                  const std::filesystem::path& facts);

  [[nodiscard]] std::int64_t num_tokens() const { return num_tokens_; }
  [[nodiscard]] std::int64_t num_documents() const { return num_documents_; }
  [[nodiscard]] TokenType type() const { return type_; }

 private:
  void store(std::span<const std::int32_t> ids);
  void flush();
  void end_sequence();
  std::uint64_t write_index() const;  // its digest

  std::filesystem::path prefix_;
  std::filesystem::path temporary_bin_, temporary_idx_;
  TokenType type_;
  OutputFile bin_;
  Digester bin_digest_;
  std::string buffer_;  // bytes for the .bin that are not written yet
  std::vector<std::int32_t> lengths_;
  std::vector<std::int64_t> documents_{0};
  std::int64_t num_tokens_ = 0;
  std::int64_t num_documents_ = 0;
  std::int64_t open_tokens_ = 0;  // of the current sequence
  bool published_ = false;
};

}  // namespace megalith
