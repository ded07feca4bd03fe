// Which of a step's sequences a data rank reads.
#pragma once

#include <cstdint>

namespace megalith {

struct BatchShare {
  std::int64_t first = 0;      // of the step's sequences
  std::int64_t sequences = 0;  // as many follow one another
};

// Whole grains, of `unit` sequences each, are dealt out in order; shares differ by one of them at most.
BatchShare share_of(std::int64_t sequences, std::int64_t unit, int rank, int ranks);
// Of the smallest share and of the largest one.
struct ShareSizes {
  std::int64_t least = 0, most = 0;
};
ShareSizes share_sizes(std::int64_t sequences, std::int64_t unit, int ranks);
// The rank whose share has that one of the sequences.
int reader_of(std::int64_t sequence, std::int64_t sequences, std::int64_t unit, int ranks);
// Micro batches that a share takes, of which the last may have empty places.
constexpr std::int64_t micro_batches_of(std::int64_t share, std::int64_t micro) {
  return (share + micro - 1) / micro;
}
// Of the largest share.
std::int64_t most_micro_batches(std::int64_t sequences, std::int64_t unit, int ranks, std::int64_t micro);

}  // namespace megalith
