#include "config/nearest.h"

#include <algorithm>
#include <utility>

namespace megalith {
namespace {

constexpr std::size_t kLongestName = 80;  // no key is longer; bounds the work on hostile names

std::string_view last_part(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> previous(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({previous[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, row);
  }
  return previous[b.size()];
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.empty() || name.size() > kLongestName) return {};
  const std::string* best = nullptr;
  std::size_t best_distance = std::max<std::size_t>(1, name.size() / 3) + 1;
  const auto offer = [&](const std::string& candidate, std::size_t distance) {
    if (distance >= best_distance) return;
    best_distance = distance;
    best = &candidate;
  };
  for (const std::string& candidate : candidates) {
    offer(candidate, edit_distance(name, candidate));
    const std::size_t of_last_part = edit_distance(last_part(name), last_part(candidate));
    // The right word in the wrong section beats a similar word in the right one.
    if (of_last_part <= last_part(name).size() / 4) offer(candidate, of_last_part + 1);
  }
  return best != nullptr ? *best : std::string();
}

}  // namespace megalith
