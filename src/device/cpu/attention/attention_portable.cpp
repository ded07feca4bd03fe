#include "device/cpu/simd/portable.h"

#include "device/cpu/attention/attention_family.h"

namespace megalith::cpu {
namespace portable {

struct AttentionTraits {
  using Floats = portable::Floats;
  static constexpr int kBf16Terms = 1;  // in a word: bf16 is widened
  static constexpr int kRows = 4;       // register tile: rows x vectors of 16 lanes
  static constexpr int kVectors = 1;
};

}  // namespace portable

AttentionFamily attention_portable() {
  return attention_family<portable::AttentionTraits>();
}

}  // namespace megalith::cpu
