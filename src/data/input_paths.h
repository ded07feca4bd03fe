// What a user names as text: files, folders and patterns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"

namespace megalith {

struct InputPaths {
  std::vector<std::filesystem::path> files;
  std::int64_t skipped = 0;   // files in folders that are of no kind of text we know
  std::string first_skipped;  // one of them, for a message
};

// Each argument is a file; a folder, which stands for the text files in it and below it (.txt, .text, .md,
// .rst, .tex, .log, .raw, .jsonl, .ndjson, each also with .gz or .zst; hidden ones are left out); or,
// where no such path exists, a pattern with *, ? and [...]. What a folder or pattern gives is in the order of
// its bytes. Links to folders are not followed inside folders, so that no loop is walked. Refused, all at
// once: nothing there, no match, a folder without text, and what is no regular file.
Expected<InputPaths> expand_inputs(std::span<const std::string> arguments);

// Whether the records of the file are lines of JSON: by its name, without .gz or .zst.
bool is_json_lines(const std::filesystem::path& path);

}  // namespace megalith
