// Every thread that computes flushes denormals to zero, in results and operands: vdpbf16ps does so whatever
// the mode says, and all kernel families promise the same bits (docs/numerics.md).
#pragma once

#include "core/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace megalith {

#if defined(__x86_64__)
inline constexpr unsigned kFlushToZero = 0x8000;
inline constexpr unsigned kDenormalsAreZero = 0x0040;
inline constexpr unsigned kRoundingMask = 0x6000;

inline void set_floating_point_mode() {
  _mm_setcsr((_mm_getcsr() & ~kRoundingMask) | kFlushToZero | kDenormalsAreZero);
}
inline bool floating_point_mode_is_set() {
  const unsigned mode = _mm_getcsr();
  return (mode & (kFlushToZero | kDenormalsAreZero)) == (kFlushToZero | kDenormalsAreZero) &&
         (mode & kRoundingMask) == 0;
}
#elif defined(__aarch64__)
inline constexpr unsigned long kFlushToZero = 1ul << 24;  // FPCR.FZ flushes operands and results
inline void set_floating_point_mode() {
  unsigned long mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  __asm__ volatile("msr fpcr, %0" : : "r"(mode | kFlushToZero));
}
inline bool floating_point_mode_is_set() {
  unsigned long mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return (mode & kFlushToZero) != 0;
}
#else
inline void set_floating_point_mode() {}
inline bool floating_point_mode_is_set() {
  return true;
}
#endif

inline void assert_floating_point_mode() {
  MEGALITH_CHECK(floating_point_mode_is_set(), "a computing thread does not flush denormals");
}

}  // namespace megalith
