// Pieces of strange input, fit to stand in a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace megalith {

// At most about `most` bytes of `text`, with "..." where more follow. Always printable UTF-8: a question mark
// stands for each control character and each byte that is no part of a character.
std::string printable(std::string_view text, std::size_t most);

// The same in quotation marks, short enough for a line that says more.
std::string quoted_for_message(std::string_view text);

}  // namespace megalith
