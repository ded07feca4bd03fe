#include "train/batch_share.h"

#include <algorithm>

namespace megalith {

BatchShare share_of(std::int64_t sequences, std::int64_t unit, int rank, int ranks) {
  const std::int64_t units = (sequences + unit - 1) / unit;
  const auto begin_of = [&](std::int64_t r) { return std::min(sequences, units * r / ranks * unit); };
  return {.first = begin_of(rank), .sequences = begin_of(rank + 1) - begin_of(rank)};
}

int reader_of(std::int64_t sequence, std::int64_t sequences, std::int64_t unit, int ranks) {
  for (int rank = 0; rank < ranks; ++rank) {
    const BatchShare share = share_of(sequences, unit, rank, ranks);
    if (sequence < share.first + share.sequences) return rank;
  }
  return ranks - 1;
}

std::int64_t most_micro_batches(std::int64_t sequences, std::int64_t unit, int ranks, std::int64_t micro) {
  std::int64_t most = 0;
  for (int rank = 0; rank < ranks; ++rank)
    most = std::max(most, (share_of(sequences, unit, rank, ranks).sequences + micro - 1) / micro);
  return most;
}

}  // namespace megalith
