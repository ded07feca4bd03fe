// Asking for memory before it is read.
#pragma once

#include <cstdint>

namespace megalith::cpu {

inline constexpr std::int64_t kLineBytes = 64;  // of a cache line

// Asks for the lines of `count` values, one address a line. They may lie beyond what there is: asking for
// them does nothing. Inlined everywhere, as kernel families differ in their instructions.
template <class T>
inline __attribute__((always_inline)) void ask_for(const T* first, std::int64_t count) {
  constexpr std::int64_t kLineValues = kLineBytes / static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t i = 0; i < count; i += kLineValues) __builtin_prefetch(first + i);
}

}  // namespace megalith::cpu
