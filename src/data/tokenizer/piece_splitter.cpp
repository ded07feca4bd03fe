#include "data/tokenizer/piece_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <string>

#include "core/error.h"
#include "data/tokenizer/ascii_piece.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

PieceSplitter::PieceSplitter(PiecePattern pattern, Engine engine)
    : pattern_(pattern), by_hand_(engine == Engine::by_hand) {
  int error = 0;
  PCRE2_SIZE where = 0;
  const std::string source = pcre2_source_of(pattern);
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                                   PCRE2_UTF | PCRE2_ANCHORED, &error, &where, nullptr);
  MEGALITH_CHECK(code != nullptr, "pattern error {} at {}", error, where);
  code_ =
      std::shared_ptr<void>(code, [](void* pointer) { pcre2_code_free(static_cast<pcre2_code*>(pointer)); });
  pcre2_match_context* limits = pcre2_match_context_create(nullptr);
  if (limits == nullptr) throw std::bad_alloc();
  // The default counts steps back, of which one piece may take as many as it has characters. The patterns are
  // linear in the piece, so a limit would only forbid long ones.
  pcre2_set_match_limit(limits, UINT32_MAX);
  limits_ = std::shared_ptr<void>(
      limits, [](void* pointer) { pcre2_match_context_free(static_cast<pcre2_match_context*>(pointer)); });
  // A refusal (no executable memory, unknown processor) leaves the interpreter in place.
  if (engine != Engine::interpreter) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

PieceSplitter::Walk::Walk(const PieceSplitter& splitter, std::string_view text)
    : splitter_(&splitter), match_(pcre2_match_data_create(1, nullptr), [](void* pointer) {
        pcre2_match_data_free(static_cast<pcre2_match_data*>(pointer));
      }) {
  if (match_ == nullptr) throw std::bad_alloc();
  restart(text);
}

void PieceSplitter::Walk::restart(std::string_view text) {
  text_ = text;
  at_ = 0;
  valid_end_ = valid_utf8_prefix(text_);
}

bool PieceSplitter::Walk::next(std::string_view& piece) {
  if (at_ == text_.size()) return false;
  if (at_ == valid_end_) {
    const std::size_t length = invalid_utf8_prefix(text_.substr(at_), kLongestPiece);
    if (length > 0) {
      piece = text_.substr(at_, length);
      at_ += length;
      valid_end_ = at_;
      return true;
    }
    valid_end_ = at_ + valid_utf8_prefix(text_.substr(at_));
  }
  std::string_view window = text_.substr(at_, valid_end_ - at_);
  if (window.size() > kLongestPiece) window = window.substr(0, utf8_boundary_before(window, kLongestPiece));
  std::size_t length = splitter_->by_hand_ ? ascii_piece(splitter_->pattern_, window) : 0;
  if (length == 0) length = match(window);
  piece = window.substr(0, length);
  at_ += length;
  return true;
}

std::size_t PieceSplitter::Walk::match(std::string_view window) const {
  auto* match = static_cast<pcre2_match_data*>(match_.get());
  const int result =
      pcre2_match(static_cast<pcre2_code*>(splitter_->code_.get()),
                  reinterpret_cast<PCRE2_SPTR>(window.data()), window.size(), 0, PCRE2_NO_UTF_CHECK, match,
                  static_cast<pcre2_match_context*>(splitter_->limits_.get()));
  if (result == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
  // Each code point is a letter, a number, white space or none of these, so one alternative always matches.
  MEGALITH_CHECK(result >= 0, "pcre2_match returned {} at byte {}", result, at_);
  const std::size_t length = pcre2_get_ovector_pointer(match)[1];
  MEGALITH_CHECK(length > 0 && length <= window.size());
  return length;
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
