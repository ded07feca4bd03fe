// Any bytes are cut by hand as the pattern library cuts them, and no byte is lost.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "data/tokenizer/piece_splitter.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using megalith::PiecePattern, megalith::PieceSplitter;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const PiecePattern pattern :
       {PiecePattern::gpt2, PiecePattern::cl100k, PiecePattern::qwen2, PiecePattern::o200k}) {
    PieceSplitter::Walk ours(PieceSplitter(pattern), text);
    PieceSplitter::Walk theirs(PieceSplitter(pattern, PieceSplitter::Engine::interpreter), text);
    std::size_t bytes = 0;
    for (std::string_view piece, expected; theirs.next(expected); bytes += piece.size()) {
      MEGALITH_CHECK(ours.next(piece) && piece == expected, "{} at byte {}", name_of(pattern), bytes);
    }
    MEGALITH_CHECK(bytes == size);
  }
  return 0;
}
