// Loops that keep independent chains of multiply-adds in registers, one per kernel family.
#pragma once

#include <cstdint>

namespace megalith::cpu {

// Runs the loop `rounds` times and returns the floating point operations done.
using PeakLoop = double (*)(std::int64_t rounds);

// Copies `count` floats, a multiple of 64.
using CopyLoop = void (*)(const float* from, float* to, std::int64_t count);

void copy_portable(const float* from, float* to, std::int64_t count);
void copy_avx2(const float* from, float* to, std::int64_t count);
void copy_avx512(const float* from, float* to, std::int64_t count);

double peak_portable(std::int64_t rounds);
double peak_avx2(std::int64_t rounds);
double peak_avx512(std::int64_t rounds);
double peak_avx512_bf16(std::int64_t rounds);

}  // namespace megalith::cpu
