// Who stands where in the groups of a split, once everybody's colour and key are known.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

namespace megalith {

struct SplitChoice {
  int colour = 0;
  int key = 0;
};

// The ranks of that colour, by (key, rank).
inline std::vector<int> members_of(std::span<const SplitChoice> choices, int colour) {
  std::vector<int> members;
  for (std::size_t rank = 0; rank < choices.size(); ++rank) {
    if (choices[rank].colour == colour) members.push_back(static_cast<int>(rank));
  }
  std::stable_sort(members.begin(), members.end(), [&](int a, int b) {
    return choices[static_cast<std::size_t>(a)].key < choices[static_cast<std::size_t>(b)].key;
  });
  return members;
}

}  // namespace megalith
