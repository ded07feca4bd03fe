// Products of bf16 by vdpbf16ps: two terms of sixteen chains an instruction, the high one first.
#include "device/cpu/matmul/matmul_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {
namespace {

constexpr int kVectors = 4;
constexpr int kColumns = 16 * kVectors;

// The operands of one step, as the instruction wants them.
__m512bh pairs(__m512 words) {
  return reinterpret_cast<__m512bh>(words);
}

// A word may lie anywhere between bf16 elements.
__m512 broadcast_word(const float* word) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, word, sizeof(bits));
  return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(bits)));
}

template <int kRows>
void tile(const float* a, std::ptrdiff_t a_row, std::ptrdiff_t a_word, const float* b, std::int64_t words,
          const TileSums& sums) {
  __m512 sum[kRows][kVectors];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sum[i][v] =
          sums.start == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(sums.start + i * kColumns + v * 16);
    }
  }
  const auto add_word = [&](std::int64_t, const char* line) __attribute__((always_inline)) {
    __builtin_prefetch(line, 0, 2);
    __m512 right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = _mm512_loadu_ps(b + v * 16);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const __m512 left = broadcast_word(a + i * a_row);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sum[i][v] = _mm512_dpbf16_ps(sum[i][v], pairs(left), pairs(right[v]));
    }
    a += a_word;
    b += kColumns;
  };
  for_words(words, sums.ahead, b, add_word);
  for (int join = 0; join < sums.num_joins; ++join) {
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sum[i][v] = _mm512_add_ps(_mm512_loadu_ps(sums.joins[join] + i * kColumns + v * 16), sum[i][v]);
      }
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(sums.to + i * kColumns + v * 16, sum[i][v]);
  }
}

__mmask16 first_lanes(std::int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
}

// Sixteen words of which `count` count; the others are zero.
__m512i words_of(const bf16* low, const bf16* high, std::int64_t count) {
  const __mmask16 mask = first_lanes(count);
  const __m256i zero = _mm256_setzero_si256();
  const __m256i lower = low == nullptr ? zero : _mm256_maskz_loadu_epi16(mask, low);
  const __m256i upper = high == nullptr ? zero : _mm256_maskz_loadu_epi16(mask, high);
  // The forms with a full mask: those without warn of an uninitialised register in GCC 12.
  const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xffff, upper);
  return _mm512_or_si512(_mm512_maskz_cvtepu16_epi32(0xffff, lower),
                         _mm512_maskz_slli_epi32(0xffff, wide, 16));
}

void pack_chain(const bf16* from, std::int64_t count, float* to) {
  // Pairs lie in memory as they are wanted.
  std::int64_t i = 0;
  for (; i + 32 <= count; i += 32) _mm512_storeu_si512(to + i / 2, _mm512_loadu_si512(from + i));
  if (i == count) return;
  const auto elements = static_cast<__mmask32>((1u << (count - i)) - 1);
  _mm512_mask_storeu_epi32(to + i / 2, first_lanes((count - i + 1) / 2),
                           _mm512_maskz_loadu_epi16(elements, from + i));
}

void pack_transposed(const bf16* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                     float* panel) {
  constexpr std::int64_t kChunk = 128;  // terms
  for (std::int64_t j = 0; j < kColumns; j += kTransposed) {
    std::int64_t t = 0;
    // Rows are words already: whole squares are turned where they lie.
    if (j + kTransposed <= rows && stride % 2 == 0) {
      t = count / 32 * 32;
      transpose_words<avx512::Floats>(reinterpret_cast<const float*>(from + j * stride), stride / 2,
                                      kTransposed, t / 2, panel + j, kColumns);
    }
    for (; t < count; t += kChunk) {
      const std::int64_t terms = count - t < kChunk ? count - t : kChunk;
      alignas(64) float chains[kTransposed][kChunk / 2];
      for (std::int64_t i = 0; i < kTransposed; ++i) {
        if (j + i < rows) {
          pack_chain(from + (j + i) * stride + t, terms, chains[i]);
        } else {
          for (float& word : chains[i]) word = 0.0f;
        }
      }
      transpose_words<avx512::Floats>(chains[0], kChunk / 2, kTransposed, (terms + 1) / 2,
                                      panel + t / 2 * kColumns + j, kColumns);
    }
  }
}

void pack_panel(const bf16* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                std::int64_t width, float* panel) {
  const std::int64_t whole = count / 16 * 16;
  constexpr std::int64_t kRowsAhead = 24;
  for (std::int64_t r = 0; r < rows; r += 2) {
    const bf16* low = from + r * stride;
    ask_for(low + kRowsAhead * stride, count);
    ask_for(low + (kRowsAhead + 1) * stride, count);
    const bf16* high = low + stride;
    float* to = panel + r / 2 * width;
    for (std::int64_t i = 0; i < whole; i += 16) {
      const __m256i lower = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low + i));
      const __m256i upper = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high + i));
      const __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16);
      _mm512_storeu_si512(to + i, _mm512_or_si512(_mm512_cvtepu16_epi32(lower), wide));
    }
    for (std::int64_t i = whole; i < width; i += 16) {
      const std::int64_t here = count - i < 0 ? 0 : count - i;
      _mm512_mask_storeu_epi32(to + i, first_lanes(width - i), words_of(low + i, high + i, here));
    }
  }
}

}  // namespace

MatmulKernels matmul_kernels_avx512_bf16() {
  MatmulKernels kernels = matmul_kernels_avx512();
  static_assert(kColumns == 64, "the tile shape of the fp32 kernels, whose other functions serve here too");
  kernels.bf16_terms_word = 2;
  constexpr MatmulKernels::Tile kTiles[] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};
  for (int i = 0; i < kTileRows; ++i) kernels.tiles_bf16[i] = kTiles[i];
  kernels.pack_chain_bf16 = pack_chain;
  kernels.pack_panel_bf16 = pack_panel;
  kernels.pack_transposed_bf16 = pack_transposed;
  return kernels;
}

}  // namespace megalith::cpu
