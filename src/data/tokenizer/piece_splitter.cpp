#include "data/tokenizer/piece_splitter.h"

#include <algorithm>

#include "data/tokenizer/piece_cutter.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

PieceSplitter::Walk::Walk(const PieceSplitter& splitter, std::string_view text)
    : pattern_(splitter.pattern_), text_(text) {
  if (splitter.engine_ == Engine::by_hand) return;
  matcher_.emplace(pcre2_source_of(pattern_), splitter.engine_ == Engine::just_in_time
                                                  ? PatternMatcher::Code::just_in_time
                                                  : PatternMatcher::Code::interpreted);
}

void PieceSplitter::Walk::restart(std::string_view text) {
  text_ = text;
  at_ = valid_end_ = 0;
}

bool PieceSplitter::Walk::next(std::string_view& piece) {
  if (at_ == text_.size()) return false;
  // A character that the limit cuts ends the window before it, as bytes that are not UTF-8 do.
  std::size_t length = matcher_ ? match() : cut_piece(pattern_, text_.substr(at_, kLongestPiece));
  if (length == 0) length = invalid_utf8_prefix(text_.substr(at_), kLongestPiece);
  piece = text_.substr(at_, length);
  at_ += length;
  return true;
}

std::size_t PieceSplitter::Walk::match() {
  if (at_ >= valid_end_) valid_end_ = at_ + valid_utf8_prefix(text_.substr(at_));
  if (at_ == valid_end_) return 0;
  std::string_view window = text_.substr(at_, valid_end_ - at_);
  if (window.size() > kLongestPiece) window = window.substr(0, utf8_boundary_before(window, kLongestPiece));
  return matcher_->match(window).size;
}

std::size_t last_safe_cut(std::string_view text, std::size_t limit) {
  for (std::size_t at = std::min(limit, text.size() - std::min<std::size_t>(text.size(), 1)); at > 0; --at) {
    const char before = text[at - 1];
    if (text[at] == ' ' && before > 0x20 && before < 0x7F) return at;
    if (text[at] == '\n' && is_letter_or_digit(before)) return at;
  }
  return 0;
}

}  // namespace megalith
