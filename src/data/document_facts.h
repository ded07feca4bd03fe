// PREFIX.documents: what a token file's layout has no place for.
//   "MEGADOC1", then for each document two little-endian uint32: number of its source in the .meta.json's
//   source_names, and how many of its first tokens are a prompt
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "data/token_meta.h"

namespace megalith {

// Mapped read-only. Every method may be called from many threads at once.
class DocumentFacts {
 public:
  // Without facts: one source, no prompts.
  DocumentFacts() = default;
  // Of the token file `prefix`; without facts where `meta` names no digest of them. Refused: another size
  // than `num_documents` needs. The numbers are checked when they are asked for.
  static Expected<DocumentFacts> open(const std::filesystem::path& prefix, const TokenMeta& meta,
                                      std::int64_t num_documents);

  // Whether documents have prompts.
  [[nodiscard]] bool has_prompts() const { return has_prompts_; }
  [[nodiscard]] std::int64_t prompt_tokens(std::int64_t document) const;
  // Empty where it is not known.
  [[nodiscard]] std::string source(std::int64_t document) const;
  [[nodiscard]] const std::vector<std::string>& source_names() const { return source_names_; }

 private:
  [[nodiscard]] std::uint32_t number(std::int64_t document, int which) const;

  MappedFile file_;
  std::vector<std::string> source_names_;
  bool has_prompts_ = false;
};

// Writes the facts of one document after the other to a file, which the destructor removes unless it has been
// renamed. Everything may throw WorldFailed.
class DocumentFactsWriter {
 public:
  explicit DocumentFactsWriter(std::filesystem::path path);
  ~DocumentFactsWriter();
  DocumentFactsWriter(const DocumentFactsWriter&) = delete;
  DocumentFactsWriter& operator=(const DocumentFactsWriter&) = delete;

  void add(std::uint32_t source, std::uint32_t prompt_tokens);
  // Completes the file; gives its digest. Called once.
  std::uint64_t seal();
  [[nodiscard]] bool has_prompts() const { return has_prompts_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  void flush();

  std::filesystem::path path_;
  OutputFile file_;
  Digester digester_;
  std::string buffer_;
  bool has_prompts_ = false;
};

}  // namespace megalith
