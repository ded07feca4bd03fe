// The tokens of a data set: one pair of token files, or several that follow one another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/token_file.h"

namespace megalith {

// Tokens and documents count on from one pair to the next, so that shards are the same data as the one pair
// that they could have been: the same samples, the same bits. Every method may be called from many threads at
// once.
class TokenSet {
 public:
  // `name` as token_file_prefixes() takes it. Refused: what that or TokenFile::open refuses, and pairs made
  // by different tokenizers.
  static Expected<std::shared_ptr<const TokenSet>> open(const std::filesystem::path& name);

  [[nodiscard]] std::int64_t num_tokens() const { return first_tokens_.back(); }
  [[nodiscard]] std::int64_t num_documents() const { return first_documents_.back(); }
  [[nodiscard]] std::span<const std::shared_ptr<const TokenFile>> files() const { return files_; }
  // Of the pair that holds the token, for messages. REQUIRES: 0 <= token < num_tokens().
  [[nodiscard]] std::string path_of(std::int64_t token) const;

  // As of a TokenFile.
  [[nodiscard]] TokenRange document(std::int64_t d) const;
  [[nodiscard]] std::int64_t document_of(std::int64_t token) const;
  void read(std::int64_t begin, std::int64_t count, std::int32_t* out) const;
  [[nodiscard]] std::int32_t largest_id() const;

  // As of DocumentFacts.
  [[nodiscard]] bool has_prompts() const;
  [[nodiscard]] std::int64_t prompt_tokens(std::int64_t document) const;
  [[nodiscard]] std::string source(std::int64_t document) const;

  // Of the tokenizer that made the tokens; empty where no .meta.json tells.
  [[nodiscard]] std::string tokenizer_digest() const;

 private:
  TokenSet() = default;
  Expected<void> check_tokenizers() const;
  [[nodiscard]] std::size_t file_of_token(std::int64_t token) const;
  [[nodiscard]] std::size_t file_of_document(std::int64_t d) const;

  std::vector<std::shared_ptr<const TokenFile>> files_;
  std::vector<std::int64_t> first_tokens_{0};     // of each file, and behind the last
  std::vector<std::int64_t> first_documents_{0};  // likewise
};

}  // namespace megalith
