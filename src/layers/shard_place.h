// How much of its state a rank leaves to the other data ranks.
#pragma once

namespace megalith {

// ZeRO (Rajbhandari et al., arXiv 1910.02054). Stage 1: each of `size` data ranks keeps master weights and
// moments of its shard alone; 2: summed gradients too; 3: working weights too, which are gathered for use.
// 0: each keeps all.
struct ShardPlace {
  int stage = 0;
  int size = 1;
  int rank = 0;

  // With nobody to share with, nothing is sharded.
  [[nodiscard]] bool shares(int from_stage) const { return size > 1 && stage >= from_stage; }
  bool operator==(const ShardPlace&) const = default;
};

}  // namespace megalith
