// Integers of two ranks become one: a loop that a compiler makes wide.
#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/communicator.h"

namespace megalith {

// to[i] becomes the reduction of to[i] and from[i]. Unsigned, so that wrapping is defined.
inline void reduce_into(std::uint64_t* to, const std::uint64_t* from, std::size_t count,
                        IntegerReduction reduction) {
  switch (reduction) {
    case IntegerReduction::sum:
      for (std::size_t i = 0; i < count; ++i) to[i] += from[i];
      break;
    case IntegerReduction::bit_or:
      for (std::size_t i = 0; i < count; ++i) to[i] |= from[i];
      break;
    case IntegerReduction::maximum:
      for (std::size_t i = 0; i < count; ++i) {
        to[i] = static_cast<std::int64_t>(from[i]) > static_cast<std::int64_t>(to[i]) ? from[i] : to[i];
      }
      break;
  }
}

}  // namespace megalith
