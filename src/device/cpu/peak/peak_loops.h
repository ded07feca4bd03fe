// Loops that keep independent chains of multiply-adds in registers, one per kernel family.
#pragma once

#include <cstdint>

namespace megalith::cpu {

// Runs the loop `rounds` times and returns the floating point operations done.
using PeakLoop = double (*)(std::int64_t rounds);

double peak_portable(std::int64_t rounds);
double peak_avx2(std::int64_t rounds);
double peak_avx512(std::int64_t rounds);
double peak_avx512_bf16(std::int64_t rounds);

}  // namespace megalith::cpu
