#include "data/tokenizer/added_token_matcher.h"

namespace megalith {

void AddedTokenMatcher::add(std::string_view content, std::int32_t id) {
  starts_[static_cast<std::uint8_t>(content[0])] = true;
  std::uint32_t node = 0;
  for (const char c : content) {
    const auto fresh = static_cast<std::uint32_t>(ids_.size());
    const auto [child, inserted] =
        children_.try_emplace(std::uint64_t{node} << 8 | static_cast<std::uint8_t>(c), fresh);
    if (inserted) ids_.push_back(-1);
    node = child->second;
  }
  ids_[node] = id;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text) const {
  if (empty()) return std::nullopt;
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    if (!starts_[static_cast<std::uint8_t>(text[begin])]) continue;
    std::optional<Match> longest;
    std::uint32_t node = 0;
    for (std::size_t end = begin; end < text.size(); ++end) {
      const auto child = children_.find(std::uint64_t{node} << 8 | static_cast<std::uint8_t>(text[end]));
      if (child == children_.end()) break;
      node = child->second;
      if (ids_[node] >= 0) longest = Match{.begin = begin, .size = end + 1 - begin, .id = ids_[node]};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

}  // namespace megalith
