// Small things that all ranks of a group come to know: decisions, numbers, texts. Collective; not for a
// step's data.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace megalith {

// Every rank's bits together.
std::int64_t union_of(Communicator& group, std::int64_t bits);
// Every rank's number, by rank.
std::vector<std::int64_t> numbers_of(Communicator& group, std::int64_t mine);
// What `root` says.
std::int64_t number_from(Communicator& group, std::int64_t number, int root = 0);
std::string text_from(Communicator& group, const std::string& text, int root = 0);
// Every rank's text, by rank.
std::vector<std::string> texts_of(Communicator& group, const std::string& mine);

// Of what every rank said, by rank: the lowest rank that says something else than rank 0, or 0 when none
// does.
template <class T>
std::size_t first_unlike(const std::vector<T>& all) {
  const auto other = std::find_if(all.begin(), all.end(), [&](const T& one) { return one != all.front(); });
  return other == all.end() ? 0 : static_cast<std::size_t>(other - all.begin());
}

}  // namespace megalith
