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

// Collects facts in memory, 8 bytes a document.
class DocumentFactsWriter {
 public:
  void add(std::uint32_t source, std::uint32_t prompt_tokens);
  [[nodiscard]] bool has_prompts() const { return has_prompts_; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_ = "MEGADOC1";
  bool has_prompts_ = false;
};

}  // namespace megalith
