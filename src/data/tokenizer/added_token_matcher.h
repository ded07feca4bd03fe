// Finds added tokens (such as <|endoftext|>) in text: the leftmost, and of those that begin there the
// longest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace megalith {

// A trie over bytes. Immutable once filled; finding is linear in the text times the longest token.
class AddedTokenMatcher {
 public:
  struct Match {
    std::size_t begin = 0;
    std::size_t size = 0;
    std::int32_t id = 0;
  };

  // REQUIRES: `content` is not empty and not there yet.
  void add(std::string_view content, std::int32_t id);
  [[nodiscard]] bool empty() const { return ids_.size() == 1; }
  [[nodiscard]] std::optional<Match> find(std::string_view text) const;

 private:
  std::unordered_map<std::uint64_t, std::uint32_t> children_;  // node << 8 | byte
  std::vector<std::int32_t> ids_{-1};  // per node; -1: no token ends here. Node 0 is the root.
  std::array<bool, 256> starts_{};
};

}  // namespace megalith
