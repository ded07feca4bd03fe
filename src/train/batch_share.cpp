#include "train/batch_share.h"

#include <algorithm>

namespace megalith {

BatchShare share_of(std::int64_t sequences, std::int64_t unit, int rank, int ranks) {
  const std::int64_t units = (sequences + unit - 1) / unit;
  const auto begin_of = [&](std::int64_t r) { return std::min(sequences, units * r / ranks * unit); };
  return {.first = begin_of(rank), .sequences = begin_of(rank + 1) - begin_of(rank)};
}

ShareSizes share_sizes(std::int64_t sequences, std::int64_t unit, int ranks) {
  ShareSizes sizes{.least = sequences, .most = 0};
  for (int rank = 0; rank < ranks; ++rank) {
    const std::int64_t share = share_of(sequences, unit, rank, ranks).sequences;
    sizes.least = std::min(sizes.least, share);
    sizes.most = std::max(sizes.most, share);
  }
  return sizes;
}

int reader_of(std::int64_t sequence, std::int64_t sequences, std::int64_t unit, int ranks) {
  for (int rank = 0; rank < ranks; ++rank) {
    const BatchShare share = share_of(sequences, unit, rank, ranks);
    if (sequence < share.first + share.sequences) return rank;
  }
  return ranks - 1;
}

std::int64_t most_micro_batches(std::int64_t sequences, std::int64_t unit, int ranks, std::int64_t micro) {
  return micro_batches_of(share_sizes(sequences, unit, ranks).most, micro);
}

}  // namespace megalith
