#include "device/cpu/isa.h"

#include <cstdlib>

#include <algorithm>
#include <iterator>

#include "device/cpu/bf16_rate.h"

namespace megalith::cpu {
namespace {

constexpr Isa kAll[] = {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16};

bool available(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::portable:
      return true;
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case Isa::avx512_bf16:
      return available(Isa::avx512) && __builtin_cpu_supports("avx512bf16");
  }
  return false;
#else
  return isa == Isa::portable;
#endif
}

std::string names(const std::vector<Isa>& isas) {
  std::string text;
  for (const Isa isa : isas) text += (text.empty() ? "" : ", ") + std::string(name_of(isa));
  return text;
}

}  // namespace

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
  }
  return "?";
}

std::vector<Isa> available_isas() {
  std::vector<Isa> result;
  std::copy_if(std::begin(kAll), std::end(kAll), std::back_inserter(result), available);
  return result;
}

Expected<Isa> choose_isa(const char* environment_value) {
  const std::vector<Isa> here = available_isas();
  if (environment_value == nullptr || *environment_value == '\0') {
    if (here.back() == Isa::avx512_bf16 && !bf16_instruction_is_faster()) return Isa::avx512;
    return here.back();
  }
  for (const Isa isa : here) {
    if (std::string_view(name_of(isa)) == environment_value) return isa;
  }
  return refuse({.where = "MEGALITH_ISA",
                 .found = environment_value,
                 .allowed = "on this processor: " + names(here),
                 .nearest = name_of(here.back())});
}

Expected<Isa> choose_isa() {
  return choose_isa(std::getenv("MEGALITH_ISA"));  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace megalith::cpu
