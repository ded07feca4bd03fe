#include "device/cpu/matmul/int8_kernels.h"
#include "device/cpu/simd/portable.h"

namespace megalith::cpu {
namespace {

struct Dot {
  static constexpr int kWords = 1;
  static void store(const std::int32_t* q, std::int32_t* words) { store_as_bytes(q, words); }
  static portable::Ints add(portable::Ints sums, const portable::Ints& bytes, const std::int32_t* words) {
    std::int8_t x[4];
    __builtin_memcpy(x, words, sizeof(x));
    for (int lane = 0; lane < portable::kLanes; ++lane) {
      const auto word = static_cast<std::uint32_t>(bytes.lane[lane]);
      for (int i = 0; i < 4; ++i) sums.lane[lane] += static_cast<std::int32_t>(word >> 8 * i & 0xff) * x[i];
    }
    return sums;
  }
};

}  // namespace

Int8Kernels int8_kernels_portable() {
  return Int8Family<portable::Floats, Dot, 1>::kernels("portable");
}

}  // namespace megalith::cpu
