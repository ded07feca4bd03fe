// PCRE2 behind a search that goes through a text from match to match.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace megalith {

// A pattern, compiled with UTF and MULTILINE on. Immutable; copies share the compiled code, and one may serve
// many threads.
class RegexSearch {
 public:
  static Expected<RegexSearch> compile(const std::string& pcre2_source);

  struct Match {
    std::size_t begin = 0, end = 0;
  };

  // Goes through one text after another, from one thread. The search and the text must outlive it.
  class Walk {
   public:
    explicit Walk(const RegexSearch& search);
    // REQUIRES: valid UTF-8.
    void restart(std::string_view text);
    // The next match; may be empty, but not where the one before ended. Throws RefusedInput where the pattern
    // takes more steps back than any that is fit to cut text.
    std::optional<Match> next();

   private:
    std::optional<Match> find_from(std::size_t at);

    const RegexSearch* search_;
    std::shared_ptr<void> match_, limits_;
    std::string_view text_;
    std::size_t at_ = 0;
    std::optional<std::size_t> last_end_;
  };

 private:
  RegexSearch() = default;
  std::shared_ptr<void> code_;
};

}  // namespace megalith
