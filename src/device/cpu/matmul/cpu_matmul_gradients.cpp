// Gradients of weights, in integers grain by grain or in floats, and of biases, in integers by blocks of 32
// rows.

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/fixed_point.h"
#include "device/cpu/matmul/cpu_matmul.h"

namespace megalith::cpu {
namespace {

// Columns of a packed panel of dy: several tiles, so that rows are read and written by whole vectors.
constexpr std::int64_t kLeftColumns = 48;
static_assert(kLeftColumns % kTileRows == 0 && kLeftColumns % 16 == 0);

constexpr std::int64_t kPanelTiles = kLeftColumns / kTileRows;
// Words of tokens in a block: a panel's are 96 KiB, a strip's 128.
constexpr std::int64_t kBlockWords = 512;
constexpr std::int64_t kMostColumns = 64;  // of a tile

// A part of a weight's gradient.
struct GradientTile {
  const Tensor& dw;
  std::int64_t row, rows;
  std::int64_t first, count;  // columns
};

// What a tile of a panel asks for while it is computed: its share of the next block of the left operand, or,
// in the first block of a panel, of the next panel's rows of the gradient, kMostColumns of each.
LinesAhead ahead_of(const WeightGradientProduct& args, const float* a, std::int64_t words, std::int64_t first,
                    std::int64_t row, std::int64_t word, std::int64_t block, std::int64_t tile) {
  constexpr std::int64_t kWordLines = kLeftColumns / kLineFloats;  // of a left panel
  const bool last_panel = row + kLeftColumns >= args.dw.rows();
  if (tile < kWordLines) {
    if (last_panel && word + block == words) return {};
    return {.first = a + row * words + (word + block) * kLeftColumns + tile * block * kLineFloats};
  }
  if (last_panel || word != 0 || tile >= 2 * kWordLines) return {};
  constexpr std::int64_t kRows = kLeftColumns / kWordLines;
  const auto size = static_cast<std::int64_t>(size_of(args.dw.dtype));
  const std::int64_t element =
      (row + kLeftColumns + (tile - kWordLines) * kRows) * args.dw.row_stride + first;
  // Over the whole block, but a line at least every eight words.
  const std::int64_t row_lines = kMostColumns * size / kLineBytes;
  const std::int64_t line_words =
      std::bit_floor(std::clamp<std::uint64_t>(block / (kRows * row_lines), 1, 8));
  return {.first = static_cast<const char*>(args.dw.data) + element * size,
          .word_bytes = kLineBytes / line_words,
          .row_words = row_lines * line_words,
          .row_bytes = args.dw.row_stride * size};
}

void load_chains(const GradientTile& at, std::int64_t columns, float* tile) {
  for (std::int64_t i = 0; i < at.rows; ++i) {
    std::memcpy(tile + i * columns, at.dw.row<float>(at.row + i) + at.first,
                static_cast<std::size_t>(at.count) * sizeof(float));
  }
}

// Puts a tile's chains back into where they came from, and returns the greatest magnitude's bits.
std::uint32_t store_chains(const MatmulKernels& kernels, const GradientTile& at, const float* tile) {
  for (std::int64_t i = 0; i < at.rows; ++i) {
    std::memcpy(at.dw.row<float>(at.row + i) + at.first, tile + i * kernels.columns,
                static_cast<std::size_t>(at.count) * sizeof(float));
  }
  return kernels.greatest(tile, at.rows * kernels.columns);
}

// Adds a tile's chains, each rounded once, to the integers. Returns the greatest magnitude's bits.
std::uint32_t add_rounded(const MatmulKernels& kernels, const GradientTile& at, const float* tile,
                          float scale) {
  const std::int64_t columns = kernels.columns;
  std::uint32_t greatest = 0;
  for (std::int64_t i = 0; i < at.rows; ++i) {
    std::int64_t* const sum = at.dw.row<std::int64_t>(at.row + i) + at.first;
    const float* const chains = tile + i * columns;
    if (at.count == columns) {
      greatest = std::max(greatest, kernels.accumulate(chains, scale, columns, sum));
      continue;
    }
    std::int64_t edge[kMostColumns] = {};
    greatest = std::max(greatest, kernels.accumulate(chains, scale, columns, edge));
    kernels.add_integers(edge, at.count, sum);
  }
  return greatest;
}

}  // namespace

template <class T>
void CpuMatmul::pack_columns(const Tensor& matrix, std::int64_t first, std::int64_t count, std::int64_t width,
                             float* panel) const {
  pack_panel(matrix.as<T>() + first, matrix.row_stride, matrix.rows(), count, width, panel);
}

// One strip of columns of dw. A panel of dy meets a block of tokens at a time, so that both stay in the cache
// while the panel's tiles are computed. Returns false when something is out of range.
bool CpuMatmul::gradient_strip(const WeightGradientProduct& args, const float* a, std::int64_t first,
                               const float* panel, float* tiles) const {
  const std::int64_t columns = kernels_.columns;
  const MatmulKernels::Tile multiply = tile_of(args.dy.dtype, kTileRows);
  const bool floats = args.dw.dtype == DType::f32;
  const std::int64_t words = args.dy.rows() / terms_in_word(args.dy.dtype);
  const std::int64_t chain = floats ? words : args.grain / terms_in_word(args.dy.dtype);
  const float scale = power_of_two(args.shift);
  const std::int64_t count = std::min(columns, args.dw.columns() - first);
  std::uint32_t greatest = 0;
  std::fill_n(tiles, kPanelTiles * tile_floats(), 0.0f);  // what lies beside dw is computed and dropped
  for (std::int64_t row = 0; row < args.dw.rows(); row += kLeftColumns) {
    const std::int64_t end = std::min(row + kLeftColumns, args.dw.rows());
    for (std::int64_t t = 0, block = 0; t < words; t += block) {
      const bool begins = t % chain == 0;
      block = std::min(kBlockWords, chain - t % chain);
      const bool ends = (t + block) % chain == 0;
      float* tile = tiles;
      for (std::int64_t r = row; r < end; r += kTileRows, tile += tile_floats()) {
        const GradientTile at{args.dw, r, std::min<std::int64_t>(kTileRows, end - r), first, count};
        if (begins && floats) load_chains(at, columns, tile);
        const float* left = a + row * words + t * kLeftColumns + (r - row);
        multiply(left, 1, kLeftColumns, panel + t * columns, block,
                 {.start = begins && !floats ? nullptr : tile,
                  .to = tile,
                  .ahead = ahead_of(args, a, words, first, row, t, block, (r - row) / kTileRows)});
        if (ends)
          greatest = std::max(
              greatest, floats ? store_chains(kernels_, at, tile) : add_rounded(kernels_, at, tile, scale));
      }
    }
  }
  return greatest < (floats ? float_sum_limit_bits(args.shift) : contribution_limit_bits(args.grain));
}

template <class T>
void CpuMatmul::weight_gradient_typed(const WeightGradientProduct& args) {
  const std::int64_t words = args.dy.rows() / terms_in_word(args.dy.dtype);
  const std::int64_t columns = kernels_.columns;
  const std::int64_t left_panels = (args.dw.rows() + kLeftColumns - 1) / kLeftColumns;
  float* a = packed_.get<float>(static_cast<std::size_t>(left_panels * kLeftColumns * words));
  // A task packs a few rows of all panels: rows of dy are read from end to end.
  constexpr std::int64_t kRows = 64;
  pool_.for_range(args.dy.rows(), kRows, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t first = 0; first < left_panels * kLeftColumns; first += kLeftColumns) {
      pack_panel(args.dy.row<T>(begin) + first, args.dy.row_stride, end - begin,
                 std::min(kLeftColumns, args.dw.rows() - first), kLeftColumns,
                 a + first * words + begin / terms_in_word(args.dy.dtype) * kLeftColumns);
    }
  });
  const std::int64_t panel_floats = words * columns;
  MEGALITH_CHECK(columns <= kMostColumns, "tiles of {} columns", columns);
  const auto bytes = static_cast<std::size_t>(panel_floats + kPanelTiles * tile_floats()) * sizeof(float);
  for (Scratch& scratch : thread_scratch_) scratch.get<char>(bytes);
  pool_.for_each(strips(args.dw.columns()), [&](std::int64_t index, int thread) {
    float* panel = thread_scratch_[static_cast<std::size_t>(thread)].get<float>(0);
    const std::int64_t first = index * columns;
    pack_columns<T>(args.x, first, std::min(columns, args.dw.columns() - first), columns, panel);
    if (!gradient_strip(args, a, first, panel, panel + panel_floats)) args.verdict->declare_bad();
  });
}

void CpuMatmul::weight_gradient(const WeightGradientProduct& args) {
  MEGALITH_CHECK(args.dy.rows() == args.x.rows() && args.dw.rows() == args.dy.columns() &&
                     args.dw.columns() == args.x.columns() && args.dy.dtype == args.x.dtype,
                 "{}, {} -> {}", describe(args.dy), describe(args.x), describe(args.dw));
  const std::int64_t chain = args.dw.dtype == DType::f32 ? args.dy.rows() : args.grain;
  MEGALITH_CHECK(chain > 0 && args.dy.rows() % chain == 0 && (chain % 2 == 0 || args.dy.dtype == DType::f32),
                 "{} tokens in chains of {}", args.dy.rows(), chain);
  with_float_type(args.dy.dtype, [&]<class T>(T) { weight_gradient_typed<T>(args); });
}

void CpuMatmul::bias_gradient(const BiasGradient& args) {
  constexpr std::int64_t kBlockRows = 32;
  constexpr std::int64_t kTaskColumns = 128;
  const std::int64_t rows = args.dy.rows();
  const std::int64_t columns = kernels_.columns;
  const float scale = power_of_two(args.shift);
  with_float_type(args.dy.dtype, [&]<class T>(T) {
    pool_.for_range(args.dy.columns(), kTaskColumns, [&](std::int64_t begin, std::int64_t end, int) {
      float block_sum[kMostColumns];
      std::int64_t total[kTaskColumns + kMostColumns] = {};
      bool good = true;
      for (std::int64_t block = 0; block < rows; block += kBlockRows) {
        const std::int64_t count = std::min(kBlockRows, rows - block);
        for (std::int64_t first = begin; first < end; first += columns) {
          sum_rows(args.dy.row<T>(block) + first, args.dy.row_stride, count, std::min(columns, end - first),
                   block_sum);
          good &= kernels_.accumulate(block_sum, scale, columns, total + (first - begin)) <
                  contribution_limit_bits(count);
        }
      }
      if (!good) args.verdict->declare_bad();
      kernels_.add_integers(total, end - begin, args.db.as<std::int64_t>() + begin);
    });
  });
}

}  // namespace megalith::cpu
