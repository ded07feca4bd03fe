// Integers of two ranks become one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/communicator.h"

namespace megalith {

namespace integer_reduction {

// Steps of a fixed number of values, which a compiler makes wide without being asked to.
template <class Combine>
void for_all(std::uint64_t* __restrict to, const std::uint64_t* __restrict from, std::size_t count,
             Combine combine) {
  constexpr std::size_t kStep = 16;
  std::size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    for (std::size_t j = 0; j < kStep; ++j) to[i + j] = combine(to[i + j], from[i + j]);
  }
  for (; i < count; ++i) to[i] = combine(to[i], from[i]);
}

}  // namespace integer_reduction

// to[i] becomes the reduction of to[i] and from[i], which are different memory. Unsigned, so that wrapping is
// defined.
inline void reduce_into(std::uint64_t* to, const std::uint64_t* from, std::size_t count,
                        IntegerReduction reduction) {
  using integer_reduction::for_all;
  switch (reduction) {
    case IntegerReduction::sum:
      return for_all(to, from, count, [](std::uint64_t a, std::uint64_t b) { return a + b; });
    case IntegerReduction::bit_or:
      return for_all(to, from, count, [](std::uint64_t a, std::uint64_t b) { return a | b; });
    case IntegerReduction::maximum:
      return for_all(to, from, count, [](std::uint64_t a, std::uint64_t b) {
        return static_cast<std::int64_t>(b) > static_cast<std::int64_t>(a) ? b : a;
      });
  }
}

}  // namespace megalith
