// What is looked at before the TOML library sees a text. toml++ recurses over nested values, builds one table
// per dotted part, and has undefined behaviour on some characters where TOML allows only ASCII; none of it
// may be reached from a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/error.h"

namespace megalith {

constexpr std::size_t kLargestConfigBytes = std::size_t{1} << 20;
constexpr int kDeepestConfig = 16;  // brackets and braces open at once, and parts of one dotted key

// Refuses what is larger or deeper. One pass over the text; knows strings and comments, and nothing else of
// TOML.
Expected<void> check_toml_limits(std::string_view text, std::string_view file_name);

struct TextPlace {
  std::uint32_t line = 1;
  std::uint32_t column = 1;  // bytes
};

// The first byte that is not ASCII and stands neither in a string nor in a comment. A byte order mark at the
// start does not count.
std::optional<TextPlace> first_unquoted_foreign_character(std::string_view text);

}  // namespace megalith
