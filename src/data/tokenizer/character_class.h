// What Hugging Face's rules for added tokens ask about characters. Bytes that are not UTF-8 are neither.
#pragma once

#include <cstddef>
#include <string_view>

namespace megalith {

// Bytes of white space (Unicode's White_Space) at the start of `text`.
std::size_t white_space_at_start(std::string_view text);
// The same at its end.
std::size_t white_space_at_end(std::string_view text);

// Whether the first, or the last, character is one of words: \w of regular expressions, which is Alphabetic,
// a mark, a decimal digit, a connector or a joiner.
bool starts_with_word(std::string_view text);
bool ends_with_word(std::string_view text);

}  // namespace megalith
