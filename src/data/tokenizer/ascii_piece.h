// The patterns of piece_pattern.h by hand, as far as ASCII goes: most text of most languages in Latin script,
// and code, is cut without the regular-expression engine.
#pragma once

#include <cstddef>
#include <string_view>

#include "data/tokenizer/piece_pattern.h"

namespace megalith {

// Bytes of the first piece of `text`: what the pattern matches there. 0 where a byte that is no ASCII has a
// say in it, and for an empty text. Time O(bytes of the piece and of the white space behind it).
std::size_t ascii_piece(PiecePattern pattern, std::string_view text);

}  // namespace megalith
