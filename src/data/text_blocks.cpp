#include "data/text_blocks.h"

namespace megalith {

std::string_view first_block(std::string_view text, std::size_t wanted) {
  if (text.size() <= wanted) return text;
  const std::size_t longest = wanted + kLongestLine;
  const std::size_t line_end = text.substr(0, longest).find('\n', wanted - 1);
  if (line_end != std::string_view::npos) return text.substr(0, line_end + 1);
  if (text.size() <= longest) return text;
  // Back over the continuation bytes of a character, of which there are at most three.
  std::size_t cut = longest;
  while (cut > longest - 3 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  const bool inside = (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80;
  return text.substr(0, inside ? longest : cut);  // four in a row are no UTF-8: nothing to keep whole
}

}  // namespace megalith
