// Names of token files: which files a data set is made of, and what builds leave behind.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace megalith {

// What stands beside each other under a prefix; the .idx, whose presence means that a pair is there, first.
inline constexpr const char* kTokenFileSuffixes[] = {".idx", ".bin", ".meta.json", ".documents"};

std::filesystem::path with_suffix(std::filesystem::path prefix, std::string_view suffix);

// "PREFIX-00002-of-00010", of shards counted from 0.
std::filesystem::path shard_prefix(const std::filesystem::path& prefix, std::int64_t shard,
                                   std::int64_t num_shards);

// The prefixes of the pairs that `name` stands for, in their order: NAME itself; or else its shards,
// NAME-00000-of-NNNNN and so on; or else, where it is a pattern with *, ? or [...], every pair that it
// matches, in the order of their bytes. A name of nothing is NAME itself, for TokenFile::open to refuse.
// Refused: shards that are missing, or of several numbers of shards; a pattern that matches nothing.
Expected<std::vector<std::filesystem::path>> token_file_prefixes(const std::filesystem::path& name);

// The names under which pairs lie beside `name`, for "did you mean": shards by the name of their set.
std::vector<std::string> token_file_names_beside(const std::filesystem::path& name);

// Removes the pair PREFIX and all of its shards, with what stands beside them. Throws WorldFailed.
void remove_token_files(const std::filesystem::path& prefix);

// Where a file of this process lies until it is complete: "PATH.tmp-123".
std::filesystem::path temporary_of(const std::filesystem::path& path);

// Removes what builds of PREFIX-... left under temporary names whose processes are gone.
void remove_leftovers(const std::filesystem::path& prefix);

}  // namespace megalith
