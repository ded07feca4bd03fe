// One regular expression of PCRE2: what the built-in patterns mean, and where their tables come from.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace megalith {

// Matches at the start of a text only, in Unicode. One per thread.
class PatternMatcher {
 public:
  // Whether machine code is made; where that may not be (no executable memory, unknown processor), the
  // interpreter steps in, which gives the same matches.
  enum class Code { just_in_time, interpreted };

  PatternMatcher(const std::string& source, Code code);

  struct Match {
    std::size_t size = 0;  // bytes
    int group = 0;         // the last group that took part, from 1 on; 0 where the pattern has none
  };
  // REQUIRES: valid UTF-8 that the pattern matches something of.
  Match match(std::string_view text) const;

 private:
  std::shared_ptr<void> code_, limits_, match_;
};

}  // namespace megalith
