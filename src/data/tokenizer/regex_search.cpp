#include "data/tokenizer/regex_search.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <new>

#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

// A search that takes more is one of a pattern that takes exponential time, as (a+)+b does: Oniguruma's
// limit, and so much for each byte at which a match could begin.
constexpr std::uint64_t kMostSteps = 10'000'000, kMostStepsPerByte = 64;
constexpr std::uint32_t kMostMemory = 512 * 1024;  // KiB that going back may take

template <class T>
T* pointer(const std::shared_ptr<void>& object) {
  return static_cast<T*>(object.get());
}

std::shared_ptr<void> owned(pcre2_match_context* limits) {
  if (limits == nullptr) throw std::bad_alloc();
  return {limits, [](void* p) { pcre2_match_context_free(static_cast<pcre2_match_context*>(p)); }};
}

}  // namespace

Expected<RegexSearch> RegexSearch::compile(const std::string& pcre2_source) {
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  if (context == nullptr) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre2_source.data()), pcre2_source.size(),
                    PCRE2_UTF | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &where, context.get());
  if (code == nullptr) {
    char message[256] = {};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    return refuse({.where = "", .found = message, .allowed = "a pattern that PCRE2 takes", .nearest = ""});
  }
  RegexSearch search;
  search.code_ = std::shared_ptr<void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
  // A refusal (no executable memory, unknown processor) leaves the interpreter in place.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return search;
}

RegexSearch::Walk::Walk(const RegexSearch& search)
    : search_(&search),
      match_(pcre2_match_data_create(1, nullptr),
             [](void* p) { pcre2_match_data_free(static_cast<pcre2_match_data*>(p)); }),
      limits_(owned(pcre2_match_context_create(nullptr))) {
  if (match_ == nullptr) throw std::bad_alloc();
  pcre2_set_heap_limit(pointer<pcre2_match_context>(limits_), kMostMemory);
}

void RegexSearch::Walk::restart(std::string_view text) {
  text_ = text;
  at_ = 0;
  last_end_.reset();
  const std::uint64_t steps = kMostSteps + kMostStepsPerByte * text.size();
  pcre2_set_match_limit(pointer<pcre2_match_context>(limits_),
                        static_cast<std::uint32_t>(std::min<std::uint64_t>(steps, UINT32_MAX)));
}

std::optional<RegexSearch::Match> RegexSearch::Walk::next() {
  while (at_ <= text_.size()) {
    const auto match = find_from(at_);
    if (!match) break;
    if (match->begin == match->end && last_end_ == match->end) {
      at_ += std::max<std::size_t>(utf8_sequence_length(text_.substr(at_)), 1);
      continue;
    }
    at_ = match->end;
    last_end_ = match->end;
    return match;
  }
  at_ = text_.size() + 1;
  return std::nullopt;
}

std::optional<RegexSearch::Match> RegexSearch::Walk::find_from(std::size_t at) {
  auto* match = pointer<pcre2_match_data>(match_);
  const auto search = [&](std::uint32_t options) {
    return pcre2_match(pointer<pcre2_code>(search_->code_), reinterpret_cast<PCRE2_SPTR>(text_.data()),
                       text_.size(), at, PCRE2_NO_UTF_CHECK | options, match,
                       pointer<pcre2_match_context>(limits_));
  };
  int result = search(0);
  // Machine code has a small stack; the interpreter has the heap.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
  if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_HEAPLIMIT) {
    throw RefusedInput(
        {{.where = "the tokenizer's own pattern",
          .found = fmt::format("a text of {} bytes that it takes too many steps to cut", text_.size()),
          .allowed = "a pattern that does not try every way to cut a text",
          .nearest = ""}});
  }
  MEGALITH_CHECK(result >= 0, "pcre2_match returned {} at byte {}", result, at);
  const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match);
  return Match{.begin = found[0], .end = found[1]};
}

}  // namespace megalith
