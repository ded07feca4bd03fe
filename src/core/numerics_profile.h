// The numerics profile: everything besides model, data, seed and batch schedule that the bits of a loss
// depend on. Frozen in run and checkpoint, never chosen by the device. docs/numerics.md explains each field.
#pragma once

#include <cstdint>
#include <string>

#include "core/tensor.h"

namespace megalith {

// exact: one set of bits in every layout. fast: the same mathematics with gradients of matrices summed in
// fp32 and products cut only where tensor ranks cut them, so each layout has bits of its own
// (docs/numerics.md).
enum class NumericsMode : std::uint8_t { exact, fast };

struct NumericsProfile {
  NumericsMode mode = NumericsMode::exact;
  int version = 1;             // raised by a release that changes any bit
  int tree = 8;                // leaves of products that tensor parallelism cuts along K; a power of two
  int sequence_slices = 1;     // slices of a sequence that context parallelism may own
  std::int64_t grain = 1024;   // consecutive tokens whose weight gradient is rounded once
  int key_block = 64;          // keys per attention block, counted from the document's first token
  int attention_split = 1024;  // keys after which the softmax state starts fresh; a multiple of key_block
  int vocab_block = 1024;      // logits per (max, sum of exp) block inside a leaf
  std::int64_t batch_tokens_max =
      0;                        // largest global batch in tokens; fixes the gradients' fixed-point scale
  DType compute = DType::bf16;  // activations, working weights and cache: bf16 or f32

  // Leaves of the one of `shares` equal shares of such a product that a rank has.
  [[nodiscard]] int leaves(int shares) const { return mode == NumericsMode::fast ? 1 : tree / shares; }
  // What gradients of matrices are summed in; those of gains and biases are integers always.
  [[nodiscard]] DType gradient() const { return mode == NumericsMode::fast ? DType::f32 : DType::i64; }

  bool operator==(const NumericsProfile&) const = default;
};

// Tokens whose gradients of gains and biases are one sum of floats: grains and ranks hold whole blocks.
inline constexpr std::int64_t kBiasBlock = 32;

// Binary places of a fixed-point gradient in sum scale: 46 - ceil(log2 batch_tokens_max), so that the least
// significant bit is 2^-46 = 1.4e-14 in mean scale for every batch size, and all contributions together stay
// below 2^62. REQUIRES: 1 <= batch_tokens_max <= 2^40.
int gradient_shift(std::int64_t batch_tokens_max);

// One line of text that is equal when and only when the profiles are; part of the fingerprint.
std::string to_string(const NumericsProfile& profile);

}  // namespace megalith
