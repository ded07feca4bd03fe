// Kernel families of the CPU device and how one is chosen at start. All families give the same bits, so the
// choice is a matter of speed alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace megalith::cpu {

enum class Isa {
  portable,     // plain C++
  avx2,         // AVX2 and FMA
  avx512,       // AVX-512 F, BW, DQ, VL; bf16 products by widening to fp32
  avx512_bf16,  // avx512, and bf16 products by vdpbf16ps
};

const char* name_of(Isa isa);
std::vector<Isa> available_isas();  // of this processor, slowest first

// The family MEGALITH_ISA names, refused when unknown or not available here; without it the fastest:
// vdpbf16ps runs at twice the rate of widened products on some processors and at half on others, so a probe
// of a millisecond decides.
Expected<Isa> choose_isa(const char* environment_value);
// What this process's environment says.
Expected<Isa> choose_isa();

}  // namespace megalith::cpu
