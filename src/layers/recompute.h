// What backward computes again instead of keeping it from forward. Never changes a bit.
#pragma once

#include <cstdint>

namespace megalith {

enum class Recompute : std::uint8_t {
  none,
  selective,  // the attention core: its output and log-sum-exp are not kept
  full,       // of a block only its input is kept
};

}  // namespace megalith
