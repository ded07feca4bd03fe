// The pre-tokenizers of tokenizer.json files whose pieces are those of no known pattern (piece_pattern.h):
// stages, of which each cuts the pieces that the one before it left. One of them, ByteLevel, writes the bytes
// as characters of the byte-level alphabet; the stages behind it cut these, so that a piece may end inside a
// character of the text.
//
// Bytes that are not UTF-8 and pieces that are too long are treated as in piece_splitter.h.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "data/tokenizer/piece_splitter.h"
#include "data/tokenizer/regex_search.h"

namespace megalith {

// What becomes of the matches, as Hugging Face's library names it.
enum class SplitBehavior {
  removed,               // matches are no pieces
  isolated,              // each match is a piece
  merged_with_previous,  // each match belongs to the piece before it
  merged_with_next,
  contiguous,  // matches side by side are one piece
};

struct PieceStage {
  enum class Kind { split, digits, punctuation, whitespace, whitespace_split, byte_level };
  Kind kind = Kind::split;
  SplitBehavior behavior = SplitBehavior::isolated;  // of split and punctuation
  bool invert = false;        // of split: what lies between the matches counts as matches
  bool is_literal = false;    // of split: the pattern is text to be found, not a regex
  std::string pattern;        // of split; a regex is in Oniguruma's syntax
  bool individual = false;    // of digits: each is a piece
  bool prefix_space = false;  // of byte_level: a piece gets a space in front where it has none
  bool gpt2_pattern = false;  // of byte_level: GPT-2's pattern cuts the piece

  bool operator==(const PieceStage&) const = default;
};

// Stages ready to run. Immutable; one may serve many threads.
class PieceStages {
 public:
  // Refused: a pattern that cannot be honoured. REQUIRES: exactly one stage is byte_level.
  static Expected<PieceStages> compile(const std::vector<PieceStage>& stages);

  using Sink = std::function<void(std::string_view piece)>;

  // Cuts many texts from one thread. The stages must outlive it.
  class Cutter {
   public:
    explicit Cutter(const PieceStages& stages);
    // Hands over the pieces in their order, none empty, each valid during the call. Throws RefusedInput
    // (regex_search.h).
    void cut(std::string_view text, const Sink& sink);

   private:
    void cut_from(std::size_t stage, std::string_view text, const Sink& sink);
    void cut_by_matches(std::size_t stage, std::string_view text, const Sink& sink);
    void cut_by_bytes(std::size_t stage, std::string_view text, const Sink& sink);

    const PieceStages* stages_;
    std::vector<std::optional<RegexSearch::Walk>> searches_;  // by stage
    PieceSplitter::Walk gpt2_walk_;
    bool behind_byte_level_ = false;
  };

 private:
  struct Stage {
    PieceStage::Kind kind = PieceStage::Kind::split;
    SplitBehavior behavior = SplitBehavior::isolated;
    bool invert = false, prefix_space = false, gpt2_pattern = false;
    std::optional<RegexSearch> search;  // of all but byte_level
  };

  std::vector<Stage> stages_;
  std::shared_ptr<const PieceSplitter> gpt2_ = std::make_shared<PieceSplitter>(PiecePattern::gpt2);
};

}  // namespace megalith
