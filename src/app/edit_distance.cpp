#include "app/edit_distance.h"

#include <algorithm>

namespace megalith::app {

int edit_distance(std::string_view a, std::string_view b) {
  const std::size_t width = b.size() + 1;
  std::vector<int> cost((a.size() + 1) * width);
  for (std::size_t j = 0; j < width; ++j) cost[j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    cost[i * width] = static_cast<int>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int substitute = cost[(i - 1) * width + j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      int best = std::min({cost[(i - 1) * width + j] + 1, cost[i * width + j - 1] + 1, substitute});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        best = std::min(best, cost[(i - 2) * width + j - 2] + 1);
      }
      cost[i * width + j] = best;
    }
  }
  return cost.back();
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  word = word.substr(0, 64);
  std::string nearest;
  int least = 1 << 20;
  for (const std::string& candidate : known) {
    const bool abbreviated = word.size() >= 2 && candidate.starts_with(word);
    const int distance = abbreviated ? 0 : edit_distance(word, candidate);
    const int tolerated = std::max<int>(1, static_cast<int>(std::max(word.size(), candidate.size())) / 3);
    if (distance < least && distance <= tolerated) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace megalith::app
