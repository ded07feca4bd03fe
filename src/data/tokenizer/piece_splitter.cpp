#include "data/tokenizer/piece_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <new>

#include "core/error.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

// White_Space of Unicode, which has not changed since version 6.3, to be used inside a character class.
#define MEGALITH_WHITE_SPACE \
  R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"

// The possessive ++ changes no match here (what follows each is the end of the pattern) and keeps
// backtracking, and with it time and stack, constant.
constexpr const char* kGpt2Pattern =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\p{L}\p{N})" MEGALITH_WHITE_SPACE
    R"(]++|[)" MEGALITH_WHITE_SPACE R"(]+(?![^)" MEGALITH_WHITE_SPACE R"(])|[)" MEGALITH_WHITE_SPACE R"(]++)";
#undef MEGALITH_WHITE_SPACE

}  // namespace

PieceSplitter::PieceSplitter(Engine engine) {
  int error = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kGpt2Pattern), PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_ANCHORED, &error, &where, nullptr);
  MEGALITH_CHECK(code != nullptr, "pattern error {} at {}", error, where);
  code_ =
      std::shared_ptr<void>(code, [](void* pointer) { pcre2_code_free(static_cast<pcre2_code*>(pointer)); });
  // A refusal (no executable memory, unknown processor) leaves the interpreter in place.
  if (engine == Engine::just_in_time) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
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
  auto* match = static_cast<pcre2_match_data*>(match_.get());
  const int result = pcre2_match(static_cast<pcre2_code*>(splitter_->code_.get()),
                                 reinterpret_cast<PCRE2_SPTR>(window.data()), window.size(), 0,
                                 PCRE2_NO_UTF_CHECK, match, nullptr);
  if (result == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
  // Each code point is a letter, a number, white space or none of these, so one alternative always matches.
  MEGALITH_CHECK(result >= 0, "pcre2_match returned {} at byte {}", result, at_);
  const std::size_t length = pcre2_get_ovector_pointer(match)[1];
  MEGALITH_CHECK(length > 0 && length <= window.size());
  piece = window.substr(0, length);
  at_ += length;
  return true;
}

std::size_t last_safe_cut(std::string_view text, std::size_t limit) {
  for (std::size_t at = std::min(limit, text.size() - std::min<std::size_t>(text.size(), 1)); at > 0; --at) {
    if ((text[at] == ' ' || text[at] == '\n') && text[at - 1] > 0x20 && text[at - 1] < 0x7F) return at;
  }
  return 0;
}

}  // namespace megalith
