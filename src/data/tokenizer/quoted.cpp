#include "data/tokenizer/quoted.h"

#include <algorithm>

#include "data/tokenizer/utf8.h"

namespace megalith {

std::string printable(std::string_view text, std::size_t most) {
  std::string shown;
  std::size_t at = 0;
  while (at < text.size() && at < most) {
    const std::size_t length = utf8_sequence_length(text.substr(at));
    const bool control = length == 1 && (static_cast<unsigned char>(text[at]) < 0x20 || text[at] == 0x7F);
    if (length == 0 || control) {
      shown += '?';
    } else {
      shown += text.substr(at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
  return at < text.size() ? shown + "..." : shown;
}

std::string quoted_for_message(std::string_view text) {
  return '"' + printable(text, 40) + '"';
}

}  // namespace megalith
