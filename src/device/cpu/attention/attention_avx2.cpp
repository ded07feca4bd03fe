#include "device/cpu/simd/avx2.h"

#include "device/cpu/attention/attention_family.h"

namespace megalith::cpu {
namespace avx2 {

struct AttentionTraits {
  using Floats = avx2::Floats;
  static constexpr int kBf16Terms = 1;  // in a word: bf16 is widened
  static constexpr int kRows = 6;       // register tile: rows x vectors of 16 lanes
  static constexpr int kVectors = 1;
};

}  // namespace avx2

AttentionFamily attention_avx2() {
  return attention_family<avx2::AttentionTraits>();
}

}  // namespace megalith::cpu
