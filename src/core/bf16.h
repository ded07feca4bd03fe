// bfloat16: the upper half of an IEEE float32. Conversion rounds to nearest, ties to even.
#pragma once

#include <bit>
#include <cstdint>

#include "core/kernel_function.h"

namespace megalith {

struct bf16 {
  std::uint16_t bits = 0;
};
static_assert(sizeof(bf16) == 2);

MEGALITH_KERNEL inline float to_float(bf16 value) {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}
MEGALITH_KERNEL inline float to_float(float value) {
  return value;
}

// NaN becomes the canonical quiet NaN 0x7fc0, so that no payload reaches a digest. Denormal results are kept
// as they are: the vector kernels do the same integer arithmetic.
MEGALITH_KERNEL inline bf16 to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{0x7fc0};
  return bf16{static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace megalith
