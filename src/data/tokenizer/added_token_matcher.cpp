#include "data/tokenizer/added_token_matcher.h"

#include <algorithm>

#include "data/tokenizer/character_class.h"

namespace megalith {

void AddedTokenMatcher::add(std::string_view content, const Rule& rule) {
  starts_[static_cast<std::uint8_t>(content[0])] = true;
  std::uint32_t node = 0;
  for (const char c : content) {
    const auto fresh = static_cast<std::uint32_t>(rule_of_.size());
    const auto [child, inserted] =
        children_.try_emplace(std::uint64_t{node} << 8 | static_cast<std::uint8_t>(c), fresh);
    if (inserted) rule_of_.push_back(-1);
    node = child->second;
  }
  rule_of_[node] = static_cast<std::int32_t>(rules_.size());
  rules_.push_back(rule);
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text,
                                                                std::size_t from) const {
  if (empty()) return std::nullopt;
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<std::uint8_t>(text[begin])]) continue;
    std::optional<Match> longest;
    std::uint32_t node = 0;
    for (std::size_t end = begin; end < text.size(); ++end) {
      const auto child = children_.find(std::uint64_t{node} << 8 | static_cast<std::uint8_t>(text[end]));
      if (child == children_.end()) break;
      node = child->second;
      if (rule_of_[node] < 0) continue;
      longest = Match{
          .begin = begin, .size = end + 1 - begin, .rule = rules_[static_cast<std::size_t>(rule_of_[node])]};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

void AddedTokenMatcher::cut(std::string_view text, const std::function<void(std::string_view)>& on_text,
                            const std::function<void(std::int32_t)>& on_token) const {
  std::size_t done = 0;          // all before has been handed out
  std::size_t stripped_end = 0;  // the white space found last ends here, so that no run is measured twice
  std::size_t from = 0;
  while (const auto match = find(text, from)) {
    std::size_t begin = match->begin, end = match->begin + match->size;
    from = end;
    const Rule& rule = match->rule;
    // A match that is no word of its own still hides others that overlap it.
    if (rule.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    if (rule.lstrip) {
      // Never before what is done: white space that a token took already stays with it.
      const std::size_t since = std::min(done, begin);
      begin = std::max(done, begin - white_space_at_end(text.substr(since, begin - since)));
    }
    if (rule.rstrip) {
      if (end >= stripped_end) stripped_end = end + white_space_at_start(text.substr(end));
      end = stripped_end;
    }
    if (done < begin) on_text(text.substr(done, begin - done));
    on_token(rule.id);
    done = end;
  }
  if (done < text.size()) on_text(text.substr(done));
}

}  // namespace megalith
