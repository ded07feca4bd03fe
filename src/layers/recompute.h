// What of a block's activations waits for backward and what backward computes again. Either way backward
// reads the same bits: what is computed again has the same operands, and everything kept was rounded when it
// was made.
#pragma once

#include <cstdint>

namespace megalith {

enum class Recompute : std::uint8_t {
  none,       // everything is kept
  selective,  // the attention's result is not: a share of memory that grows with heads x sequence, for a
              // small share of the work (Korthikanti et al., arXiv 2205.05198)
  full,       // only the block's input is kept: backward begins with a second forward
};

// The blocks of a stage that recompute: its first `blocks`, or all where that is 0. The others keep
// everything.
struct RecomputePlan {
  Recompute mode = Recompute::none;
  int blocks = 0;

  [[nodiscard]] Recompute of_block(int index_on_stage) const {
    return blocks == 0 || index_on_stage < blocks ? mode : Recompute::none;
  }
  bool operator==(const RecomputePlan&) const = default;
};

}  // namespace megalith
