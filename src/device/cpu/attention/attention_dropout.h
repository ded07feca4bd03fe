// Dropout factors of a tile, sixteen Philox blocks at a time: the draws of device/random.h, bit for bit.
#pragma once

#include <cstdint>

#include "device/cpu/attention/attention_kernels.h"
#include "device/cpu/attention/attention_lanes.h"
#include "device/cpu/simd/philox_lanes.h"
#include "device/cpu/simd/transpose.h"

namespace megalith::cpu {

// factors [rows][width]: 0 or the scale, for keys first_key .. first_key + width - 1 of queries query ..
// query + rows - 1 of one head; positions within the sequence. draws: scratch, rows * draws_per_row(width)
// words and 64 more.
template <class F>
void fill_factors(const DropoutStream& stream, int head, std::int64_t query, int rows, std::int64_t first_key,
                  int width, float* draws, float* factors) {
  using Ints = typename F::Ints;
  const std::int32_t first_block = static_cast<std::int32_t>(first_key / 8);
  const int skipped = static_cast<int>(first_key % 8);
  const int blocks = (skipped + width + 7) / 8;
  const Ints sample = Ints::broadcast(static_cast<std::int32_t>(stream.sample));
  const Ints site =
      Ints::broadcast(static_cast<std::int32_t>(stream.site + static_cast<std::uint32_t>(head)));
  alignas(64) std::int32_t position[16];
  alignas(64) std::int32_t block[16];
  alignas(64) float words[4][16];  // bits of the draws, never used as numbers
  int row = 0;
  int column = 0;
  for (int done = 0; done < rows * blocks; done += 16) {
    for (int i = 0; i < 16; ++i) {  // beyond the last row: drawn, never read
      position[i] = static_cast<std::int32_t>(query) + row;
      block[i] = first_block + column;
      if (++column == blocks) {
        column = 0;
        ++row;
      }
    }
    Ints counter[4] = {sample, site, Ints::load(position), Ints::load(block)};
    philox_lanes(counter, stream.key[0], stream.key[1]);
    for (int w = 0; w < 4; ++w) from_bits(counter[w]).store(words[w]);
    transpose_words(words[0], 16, 4, 16, draws + static_cast<std::ptrdiff_t>(done) * 4, 4);
  }
  // Four words of a block are its eight draws of 16 bits, low half first.
  using Halves = std::uint16_t __attribute__((vector_size(32)));
  using Words = std::int32_t __attribute__((vector_size(64)));
  const std::int32_t threshold = static_cast<std::int32_t>(stream.threshold);
  const std::int32_t scale = __builtin_bit_cast(std::int32_t, stream.scale);
  for (int r = 0; r < rows; ++r) {
    const char* from =
        reinterpret_cast<const char*>(draws + static_cast<std::ptrdiff_t>(r) * blocks * 4) + 2 * skipped;
    for (int j = 0; j < width; j += 16) {
      Halves halves;
      __builtin_memcpy(&halves, from + 2 * j, sizeof(halves));  // of any alignment
      const Words factor = (__builtin_convertvector(halves, Words) >= threshold) & scale;
      __builtin_memcpy(factors + r * width + j, &factor, sizeof(factor));
    }
  }
}

}  // namespace megalith::cpu
