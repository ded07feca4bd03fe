#include "data/tokenizer/pattern_matcher.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>
#include <new>

#include "core/error.h"

namespace megalith {

PatternMatcher::PatternMatcher(const std::string& source, Code how) {
  int error = 0;
  PCRE2_SIZE where = 0;
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
  if (how == Code::just_in_time) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  match_ = std::shared_ptr<void>(pcre2_match_data_create_from_pattern(code, nullptr), [](void* pointer) {
    pcre2_match_data_free(static_cast<pcre2_match_data*>(pointer));
  });
  if (match_ == nullptr) throw std::bad_alloc();
}

PatternMatcher::Match PatternMatcher::match(std::string_view text) const {
  auto* match = static_cast<pcre2_match_data*>(match_.get());
  const int result = pcre2_match(static_cast<pcre2_code*>(code_.get()),
                                 reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                 PCRE2_NO_UTF_CHECK, match, static_cast<pcre2_match_context*>(limits_.get()));
  if (result == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
  MEGALITH_CHECK(result > 0, "pcre2_match returned {}", result);
  const std::size_t size = pcre2_get_ovector_pointer(match)[1];
  MEGALITH_CHECK(size > 0 && size <= text.size());
  return {.size = size, .group = result - 1};
}

}  // namespace megalith
