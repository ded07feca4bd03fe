// PREFIX.meta.json: where a token file comes from and what it must be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"

namespace megalith {

struct TokenMeta {
  struct Source {
    std::string path;  // as it was given
    std::int64_t bytes = 0;
    std::string digest;  // XXH3-64 of the file, as all digests here, in 16 hex digits
  };
  std::vector<Source> sources;
  std::string part;  // "all", "training" or "held-out"
  std::string tokenizer_digest;
  std::int64_t vocabulary = 0;
  std::int64_t bytes = 0;  // of text in this part
  std::int64_t tokens = 0;
  std::int64_t documents = 0;
  std::string bin_digest;
  std::string idx_digest;
  // Of PREFIX.documents (document_facts.h); empty where there is none: one source, no prompts.
  std::string documents_digest;
  std::vector<std::string> source_names;
  bool has_prompts = false;
};

std::string to_json(const TokenMeta& meta);

// None when the file does not exist. Refused: what to_json cannot have written.
Expected<std::optional<TokenMeta>> read_token_meta(const std::filesystem::path& path);

}  // namespace megalith
