// The patterns of piece_pattern.h by hand, on all of Unicode: no text meets the regular-expression engine.
#pragma once

#include <cstddef>
#include <string_view>

#include "data/tokenizer/piece_pattern.h"

namespace megalith {

// Bytes of the first piece of `text`: what the pattern matches there when the text is taken to end where
// bytes that are not UTF-8 begin. 0 where it begins with such bytes, and for an empty text. Time O(bytes of
// the piece and of the run of characters of its kind behind it).
std::size_t cut_piece(PiecePattern pattern, std::string_view text);

}  // namespace megalith
