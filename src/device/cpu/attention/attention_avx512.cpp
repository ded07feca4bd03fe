#include "device/cpu/simd/avx512.h"

#include "device/cpu/attention/attention_family.h"

namespace megalith::cpu {
namespace avx512 {

struct AttentionTraits {
  using Floats = avx512::Floats;
  static constexpr int kBf16Terms = 1;  // in a word: bf16 is widened
  static constexpr int kRows = 6;       // register tile: rows x vectors of 16 lanes
  static constexpr int kVectors = 4;
};

}  // namespace avx512

AttentionFamily attention_avx512() {
  return attention_family<avx512::AttentionTraits>();
}

}  // namespace megalith::cpu
