// Cuts text into blocks, the unit that goes to training or is held out.
#pragma once

#include <cstddef>
#include <string_view>

namespace megalith {

// A line is cut when it goes on for this long behind the wanted size of a block.
inline constexpr std::size_t kLongestLine = std::size_t{64} << 10;

// The first block of `text`: up to the first line end at or behind `wanted` bytes; where none comes within
// kLongestLine more, up to there, but not inside a UTF-8 character. All of `text` when it is shorter.
// REQUIRES: wanted >= 1. Not empty unless `text` is.
std::string_view first_block(std::string_view text, std::size_t wanted);

}  // namespace megalith
