// Which bytes of a text are valid UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
#pragma once

#include <cstddef>
#include <string_view>

namespace megalith {

// Bytes of the valid sequence `text` begins with: 1 to 4, or 0 when it begins with none (also when empty).
std::size_t utf8_sequence_length(std::string_view text);

// Length of the longest prefix that is valid UTF-8.
std::size_t valid_utf8_prefix(std::string_view text);

// Number of bytes before the first valid sequence, but at most `limit`.
std::size_t invalid_utf8_prefix(std::string_view text, std::size_t limit);

// The largest position <= `at` that does not lie inside a sequence. REQUIRES: valid UTF-8.
std::size_t utf8_boundary_before(std::string_view text, std::size_t at);

}  // namespace megalith
