// How often each piece occurs in a text: all that BPE training needs to know of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenizer/piece_pattern.h"
#include "data/tokenizer/text_source.h"

namespace megalith {

struct CountedPiece {
  std::string bytes;
  std::int64_t count = 0;
  bool operator==(const CountedPiece&) const = default;
};

struct PieceCounts {
  std::vector<CountedPiece> pieces;  // in lexicographic order
  std::uint64_t text_bytes = 0;
  std::int64_t total = 0;      // pieces of the text
  std::int64_t forgotten = 0;  // of these, counted but forgotten again for lack of room
};

// Reads the source to its end. The result depends on the texts and on `most_bytes` only, not on
// `num_threads`.
//
// Memory: about 100 bytes per distinct piece on top of its bytes, and some 30 MB. When the distinct pieces
// together hold more than `most_bytes` bytes, those seen once are forgotten, then those seen twice, up to
// four times, eight times and so on, until half the room is free; frequent pieces thus keep their (slightly
// low) counts on a text of any size.
PieceCounts count_pieces(TextSource& source, int num_threads, std::size_t most_bytes,
                         PiecePattern pattern = PiecePattern::gpt2);

}  // namespace megalith
