// What a config file may cost to read. toml++ recurses over nested values and builds one table per dotted
// part; a hostile file is refused before it sees it.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/error.h"

namespace megalith {

constexpr std::size_t kLargestConfigBytes = std::size_t{1} << 20;
constexpr int kDeepestConfig = 16;  // brackets and braces open at once, and parts of one dotted key

// Refuses what is larger or deeper. One pass over the text; knows strings and comments, and nothing else of
// TOML.
Expected<void> check_toml_limits(std::string_view text, std::string_view file_name);

}  // namespace megalith
