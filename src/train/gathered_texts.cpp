#include "train/gathered_texts.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace megalith {

GatherTexts gather_texts(Communicator& ranks) {
  return [&ranks](const std::string& mine) {
    const auto size = static_cast<std::size_t>(ranks.size());
    std::vector<std::uint64_t> lengths(size);
    const std::uint64_t length = mine.size();
    ranks.wait(
        ranks.all_gather(std::as_bytes(std::span(&length, 1)), std::as_writable_bytes(std::span(lengths))));
    const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
    std::vector<std::string> texts(size);
    if (longest == 0) return texts;
    std::string padded = mine;  // all pieces of an all_gather are of one size
    padded.resize(longest);
    std::vector<char> all(size * longest);
    ranks.wait(ranks.all_gather(std::as_bytes(std::span(padded)), std::as_writable_bytes(std::span(all))));
    for (std::size_t r = 0; r < size; ++r) texts[r].assign(all.data() + r * longest, lengths[r]);
    return texts;
  };
}

}  // namespace megalith
