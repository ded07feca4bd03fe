// vpdpbusd: four products of an unsigned and a signed byte in each of sixteen sums.
#include "device/cpu/matmul/int8_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {
namespace {

struct Dot {
  static constexpr int kWords = 1;
  static void store(const std::int32_t* q, std::int32_t* words) { store_as_bytes(q, words); }
  static avx512::Ints add(avx512::Ints sums, avx512::Ints bytes, const std::int32_t* words) {
    return {_mm512_dpbusd_epi32(sums.value, bytes.value, _mm512_set1_epi32(*words))};
  }
};

}  // namespace

Int8Kernels int8_kernels_avx512_vnni() {
  return Int8Family<avx512::Floats, Dot, 4>::kernels("avx512_vnni");
}

}  // namespace megalith::cpu
