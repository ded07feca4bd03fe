// Where a dropout draw comes from: logical coordinates only, never a rank, micro-batch slot or thread.
//
// Element (token t of the micro batch, feature j) of a [M, N] tensor draws 16 bits: half j % 2 (low first) of
// word (j % 8) / 2 of dropout_block(sample of t, position of t, j / 8). One call thus serves 8 neighbouring
// features. The element is dropped when its 16 bits are below `threshold`.
#pragma once

#include <cstdint>

#include "core/philox.h"

namespace megalith {

struct Dropout {
  std::uint32_t threshold = 0;  // of 65536: the drop rate is threshold / 65536; 0 turns dropout off
  std::uint64_t seed = 0;
  std::uint32_t site = 0;                 // which place in the model
  const std::int64_t* samples = nullptr;  // [number of sequences] sample index of each sequence
  // Tokens per sequence: token t of the micro batch is position t % sequence of sequence t / sequence.
  std::int64_t sequence = 0;
  std::int64_t first_token = 0;  // token 0 of a tensor that holds a stretch of the micro batch's tokens

  [[nodiscard]] bool active() const { return threshold != 0; }
  [[nodiscard]] float scale() const { return 65536.0f / static_cast<float>(65536 - threshold); }
};

// The nearest legal rate: threshold = round(rate * 65536). REQUIRES 0 <= rate < 1.
inline std::uint32_t dropout_threshold(double rate) {
  return static_cast<std::uint32_t>(rate * 65536.0 + 0.5);
}

// The key of all draws of one sample.
inline PhiloxKey dropout_key(const Dropout& dropout, std::int64_t sample) {
  const std::uint64_t index = static_cast<std::uint64_t>(sample);
  PhiloxKey key = philox_key(dropout.seed ^ ((index >> 32) * 0x9E3779B97F4A7C15u));
  key[1] ^= static_cast<std::uint32_t>(RandomUse::dropout);
  return key;
}

inline PhiloxCounter dropout_block(const Dropout& dropout, std::int64_t sample, std::uint32_t position,
                                   std::uint32_t block_of_8) {
  return philox({static_cast<std::uint32_t>(sample), dropout.site, position, block_of_8},
                dropout_key(dropout, sample));
}

// Draw for element j of the block of 8 that holds it.
inline std::uint32_t dropout_bits(const PhiloxCounter& block, std::uint32_t element) {
  return (block[(element % 8) / 2] >> (16 * (element % 2))) & 0xffffu;
}

}  // namespace megalith
