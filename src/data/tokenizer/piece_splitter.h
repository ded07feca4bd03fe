// Cuts text into the pieces that byte-pair merges never cross, by one of the patterns of piece_pattern.h.
// \s is Unicode's White_Space, as in the regular-expression libraries the published tokenizers were made with
// (PCRE2's own \s also has U+180E). Letters and numbers are those of the Unicode version PCRE2 was built with
// (14 in 10.42): a character assigned later is neither, and may be a letter elsewhere.
//
// Every byte lands in exactly one piece, whatever the bytes:
// - A maximal run of bytes that are not valid UTF-8 is one piece. For the pattern, the text ends before such
// a
//   run and starts anew behind it.
// - A piece never exceeds kLongestPiece bytes: a longer one is cut there, at a code point boundary where the
//   text is valid. This bounds memory on a text that is one 200 MB word.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "data/tokenizer/pattern_matcher.h"
#include "data/tokenizer/piece_pattern.h"

namespace megalith {

// Immutable; one may serve many threads at once.
class PieceSplitter {
 public:
  static constexpr std::size_t kLongestPiece = std::size_t{4} << 20;

  // All give the same pieces: by_hand is piece_cutter.h, the others ask PCRE2 for every piece and are there
  // to be compared with. just_in_time falls back to the interpreter where machine code may not be made.
  enum class Engine { by_hand, just_in_time, interpreter };

  explicit PieceSplitter(PiecePattern pattern = PiecePattern::gpt2, Engine engine = Engine::by_hand)
      : pattern_(pattern), engine_(engine) {}

  // One pass over one text, from one thread. The text must outlive it.
  class Walk {
   public:
    Walk(const PieceSplitter& splitter, std::string_view text);
    // The next piece, never empty; false at the end.
    bool next(std::string_view& piece);
    // Starts over on another text; cheaper than a new walk.
    void restart(std::string_view text);

   private:
    // Bytes of the piece that the pattern library finds; 0 where the text is not UTF-8.
    std::size_t match();

    PiecePattern pattern_;
    std::optional<PatternMatcher> matcher_;  // of the pattern library's engines
    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t valid_end_ = 0;  // up to here the text is UTF-8; only the library needs to know
  };

 private:
  PiecePattern pattern_;
  Engine engine_;
};

// The last position p in (0, limit] where cutting the text in two changes no piece of any pattern: after a
// printable ASCII character and before a space, or after an ASCII letter or digit and before a newline. 0
// when there is none.
std::size_t last_safe_cut(std::string_view text, std::size_t limit);

}  // namespace megalith
