// Finds added tokens (such as <|endoftext|>) in text: the leftmost, and of those that begin there the
// longest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace megalith {

// A trie over bytes. Immutable once filled; finding is linear in the text times the longest token.
class AddedTokenMatcher {
 public:
  // Hugging Face's options of a token, with its meaning of them.
  struct Rule {
    std::int32_t id = 0;
    bool single_word = false;  // no match where a character of a word comes before or after
    bool lstrip = false;       // the match takes the white space before it
    bool rstrip = false;       // ... and behind it
  };
  struct Match {
    std::size_t begin = 0;
    std::size_t size = 0;
    Rule rule;
  };

  // REQUIRES: `content` is not empty and not there yet.
  void add(std::string_view content, const Rule& rule);
  [[nodiscard]] bool empty() const { return rules_.empty(); }
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from = 0) const;

  // Cuts `text` at its matches: calls on_text with what lies between (never empty) and on_token with the ids,
  // in order.
  void cut(std::string_view text, const std::function<void(std::string_view)>& on_text,
           const std::function<void(std::int32_t)>& on_token) const;

 private:
  std::unordered_map<std::uint64_t, std::uint32_t> children_;  // node << 8 | byte
  std::vector<std::int32_t> rule_of_{-1};  // per node; -1: no token ends here. Node 0 is the root.
  std::vector<Rule> rules_;
  std::array<bool, 256> starts_{};
};

}  // namespace megalith
