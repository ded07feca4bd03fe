// Looks at token files as a whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/error.h"

namespace megalith {

// Reads every byte of the pairs that `name` stands for (token_file_names.h). Refused, all at once: files that
// TokenFile::open refuses and, where there is a PREFIX.meta.json, files with other digests, counts or larger
// ids than it says; without one, numbers that are no ids; and what TokenSet::open refuses.
Expected<void> verify_token_files(const std::filesystem::path& name);

struct TokenFileFacts {
  std::int64_t files = 0;  // pairs
  std::int64_t tokens = 0;
  std::int64_t sequences = 0;
  std::int64_t documents = 0;
  std::string type;                    // "uint16"; of several all, with commas
  std::int64_t shortest_document = 0;  // in tokens; 0 without documents, as the next two
  std::int64_t median_document = 0;    // of an even number the lower
  std::int64_t longest_document = 0;
  std::int32_t largest_id = -1;            // -1 without tokens
  std::optional<std::int64_t> vocabulary;  // from PREFIX.meta.json
};

// Reads all of the .bin. Memory: 8 bytes per document.
Expected<TokenFileFacts> inspect_token_files(const std::filesystem::path& name);

}  // namespace megalith
