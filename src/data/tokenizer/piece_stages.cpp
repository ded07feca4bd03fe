#include "data/tokenizer/piece_stages.h"

#include <utility>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/oniguruma.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

// Punctuation of that library: ASCII's signs and \p{P} as it was in version 8 of Unicode. Without what has
// become punctuation up to version 14, and with two characters that are no longer.
constexpr const char* kPunctuation =
    R"([!-/:-@\[-`{-~\x{166d}\x{111c9}]|(?![\x{61d}\x{9fd}\x{a76}\x{c77}\x{c84}\x{1b7d}\x{1b7e}\x{2e43}-\x{2e4f})"
    R"(\x{2e52}-\x{2e5d}\x{10ead}\x{10f55}-\x{10f59}\x{10f86}-\x{10f89}\x{1144b}-\x{1144f}\x{1145a}\x{1145b})"
    R"(\x{1145d}\x{11660}-\x{1166c}\x{116b9}\x{1183b}\x{11944}-\x{11946}\x{119e2}\x{11a3f}-\x{11a46})"
    R"(\x{11a9a}-\x{11a9c}\x{11a9e}-\x{11aa2}\x{11c41}-\x{11c45}\x{11c70}\x{11c71}\x{11ef7}\x{11ef8}\x{11fff})"
    R"(\x{12ff1}\x{12ff2}\x{16e97}-\x{16e9a}\x{16fe2}\x{1e95e}\x{1e95f}])\p{P})";

// The pattern and the behavior by which Hugging Face's library cuts in a stage that is not ByteLevel.
struct Cutting {
  std::string source;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;
};

Expected<Cutting> cutting_of(const PieceStage& stage) {
  switch (stage.kind) {
    case PieceStage::Kind::split: {
      if (stage.is_literal)
        return Cutting{pcre2_source_of_literal(stage.pattern), stage.behavior, stage.invert};
      auto source = pcre2_source_of_oniguruma(stage.pattern);
      if (!source) return refuse(std::move(source).error());
      return Cutting{*std::move(source), stage.behavior, stage.invert};
    }
    case PieceStage::Kind::digits:
      if (stage.individual) return Cutting{R"(\p{N})", SplitBehavior::isolated};
      return Cutting{R"(\p{N}++)", SplitBehavior::contiguous};
    case PieceStage::Kind::punctuation:
      return Cutting{kPunctuation, stage.behavior};
    case PieceStage::Kind::whitespace:
      // This one is made with Rust's regex library, whose \w has the joiners too.
      return Cutting{fmt::format(R"([{0}\x{{200c}}\x{{200d}}]++|[^{0}\x{{200c}}\x{{200d}}{1}]++)", kPcre2Word,
                                 kPcre2WhiteSpace),
                     SplitBehavior::removed, true};
    case PieceStage::Kind::whitespace_split:
      return Cutting{fmt::format("[{}]", kPcre2WhiteSpace), SplitBehavior::removed};
    case PieceStage::Kind::byte_level:
      break;
  }
  return Cutting{};
}

// Turns matches and what lies between them into pieces. Spans come in order and leave nothing out.
template <class Emit>
class Behavior {
 public:
  Behavior(SplitBehavior behavior, bool invert, Emit emit)
      : behavior_(behavior), invert_(invert), emit_(std::move(emit)) {}

  void add(std::size_t begin, std::size_t end, bool is_match) {
    is_match = is_match != invert_;
    if (held_ && joins(is_match)) {
      end_ = end;
    } else {
      finish();
      held_ = true;
      begin_ = begin;
      end_ = end;
    }
    was_match_ = is_match;
    if (behavior_ == SplitBehavior::removed && is_match) held_ = false;
  }

  void finish() {
    if (held_ && end_ > begin_) emit_(begin_, end_);
    held_ = false;
  }

 private:
  // Whether the next span belongs to the one that is held.
  [[nodiscard]] bool joins(bool is_match) const {
    switch (behavior_) {
      case SplitBehavior::merged_with_previous:
        return is_match && !was_match_;
      case SplitBehavior::merged_with_next:
        return !is_match && was_match_;
      case SplitBehavior::contiguous:
        return is_match == was_match_;
      case SplitBehavior::removed:
      case SplitBehavior::isolated:
        break;
    }
    return false;
  }

  SplitBehavior behavior_;
  bool invert_;
  Emit emit_;
  bool held_ = false, was_match_ = false;
  std::size_t begin_ = 0, end_ = 0;  // of the piece that is held
};

// In pieces of bounded length, not cut inside a character where that can be told.
void emit_bounded(std::string_view piece, const PieceStages::Sink& sink) {
  while (piece.size() > PieceSplitter::kLongestPiece) {
    std::size_t size = PieceSplitter::kLongestPiece;
    for (int i = 0; i < 3 && (static_cast<unsigned char>(piece[size]) & 0xC0) == 0x80; ++i) --size;
    sink(piece.substr(0, size));
    piece.remove_prefix(size);
  }
  if (!piece.empty()) sink(piece);
}

}  // namespace

Expected<PieceStages> PieceStages::compile(const std::vector<PieceStage>& stages) {
  PieceStages compiled;
  for (const PieceStage& stage : stages) {
    Stage& made = compiled.stages_.emplace_back();
    made.kind = stage.kind;
    made.prefix_space = stage.prefix_space;
    made.gpt2_pattern = stage.gpt2_pattern;
    if (stage.kind == PieceStage::Kind::byte_level) continue;
    Expected<Cutting> cutting = cutting_of(stage);
    if (!cutting) return refuse(std::move(cutting).error());
    made.behavior = cutting->behavior;
    made.invert = cutting->invert;
    Expected<RegexSearch> search = RegexSearch::compile(cutting->source);
    if (!search) return refuse(std::move(search).error());
    made.search = *std::move(search);
  }
  return compiled;
}

PieceStages::Cutter::Cutter(const PieceStages& stages) : stages_(&stages), gpt2_walk_(*stages.gpt2_, {}) {
  for (const Stage& stage : stages.stages_) {
    searches_.emplace_back();
    if (stage.search) searches_.back().emplace(*stage.search);
  }
}

void PieceStages::Cutter::cut(std::string_view text, const Sink& sink) {
  while (!text.empty()) {
    const std::size_t broken = invalid_utf8_prefix(text, PieceSplitter::kLongestPiece);
    if (broken > 0) {
      sink(text.substr(0, broken));
      text.remove_prefix(broken);
      continue;
    }
    const std::size_t size = valid_utf8_prefix(text);
    behind_byte_level_ = false;
    cut_from(0, text.substr(0, size), sink);
    text.remove_prefix(size);
  }
}

void PieceStages::Cutter::cut_from(std::size_t stage, std::string_view text, const Sink& sink) {
  if (stage == stages_->stages_.size()) {
    if (!behind_byte_level_) return emit_bounded(text, sink);
    const std::optional<std::string> bytes = byte_level_bytes(text);
    MEGALITH_CHECK(bytes.has_value());
    return emit_bounded(*bytes, sink);
  }
  if (stages_->stages_[stage].kind == PieceStage::Kind::byte_level) {
    cut_by_bytes(stage, text, sink);
  } else {
    cut_by_matches(stage, text, sink);
  }
}

void PieceStages::Cutter::cut_by_matches(std::size_t stage, std::string_view text, const Sink& sink) {
  const Stage& how = stages_->stages_[stage];
  RegexSearch::Walk& search = *searches_[stage];
  Behavior behavior(how.behavior, how.invert, [&](std::size_t begin, std::size_t end) {
    cut_from(stage + 1, text.substr(begin, end - begin), sink);
  });
  search.restart(text);
  std::size_t at = 0;
  while (const auto match = search.next()) {
    if (match->begin > at) behavior.add(at, match->begin, false);
    behavior.add(match->begin, match->end, true);
    at = match->end;
  }
  if (at < text.size()) behavior.add(at, text.size(), false);
  behavior.finish();
}

void PieceStages::Cutter::cut_by_bytes(std::size_t stage, std::string_view text, const Sink& sink) {
  const Stage& how = stages_->stages_[stage];
  std::string with_space;
  if (how.prefix_space && !text.starts_with(' ')) text = with_space.append(" ").append(text);
  const bool is_last = stage + 1 == stages_->stages_.size();
  const auto go_on = [&](std::string_view piece) {
    if (is_last) return emit_bounded(piece, sink);
    behind_byte_level_ = true;
    cut_from(stage + 1, byte_level_key(piece), sink);
    behind_byte_level_ = false;
  };
  if (!how.gpt2_pattern) return go_on(text);
  gpt2_walk_.restart(text);
  for (std::string_view piece; gpt2_walk_.next(piece);) go_on(piece);
}

}  // namespace megalith
