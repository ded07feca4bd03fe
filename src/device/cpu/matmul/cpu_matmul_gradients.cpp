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

// Brings a tile of the gradient into the cache while products are computed.
template <class T>
void prefetch_tile(const Tensor& dw, std::int64_t row, std::int64_t rows, std::int64_t first,
                   std::int64_t count) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* line = dw.row<T>(row + i) + first;
    for (std::int64_t j = 0; j < count; j += kLine) __builtin_prefetch(line + j, 1);
  }
}

}  // namespace

template <class T>
void CpuMatmul::pack_columns(const Tensor& matrix, std::int64_t first, std::int64_t count, std::int64_t width,
                             float* panel) const {
  pack_panel(matrix.as<T>() + first, matrix.row_stride, matrix.rows(), count, width, panel);
}

// One strip of columns of dw for every tile of its rows. Returns false when a contribution is out of range.
bool CpuMatmul::gradient_strip(const WeightGradientProduct& args, const float* a, std::int64_t first,
                               const float* panel, float* tile, std::int64_t* sums) const {
  const std::int64_t columns = kernels_.columns;
  const MatmulKernels::Tile multiply = tile_of(args.dy.dtype);
  const std::int64_t words = args.dy.rows() / terms_in_word(args.dy.dtype);
  const std::int64_t grain_words = args.grain / terms_in_word(args.dy.dtype);
  const float scale = std::bit_cast<float>(static_cast<std::uint32_t>(args.shift + 127) << 23);
  const std::uint32_t limit = contribution_limit_bits(args.grain);
  const std::int64_t count = std::min(columns, args.dw.columns() - first);
  std::uint32_t greatest = 0;
  for (std::int64_t row = 0; row < args.dw.rows(); row += kTileRows) {
    const std::int64_t rows = std::min<std::int64_t>(kTileRows, args.dw.rows() - row);
    prefetch_tile<std::int64_t>(args.dw, row, rows, first, count);
    const float* left = a + row / kLeftColumns * kLeftColumns * words + row % kLeftColumns;
    std::fill_n(sums, tile_floats(), std::int64_t{0});
    for (std::int64_t t = 0; t < words; t += grain_words) {
      multiply(left + t * kLeftColumns, 1, kLeftColumns, panel + t * columns, grain_words, {.to = tile});
      greatest = std::max(greatest, kernels_.accumulate(tile, scale, tile_floats(), sums));
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      kernels_.add_integers(sums + i * columns, count, args.dw.row<std::int64_t>(row + i) + first);
    }
  }
  return greatest < limit;
}

// The same in floats: a tile's chains go on from what the gradient holds. Its padding is computed and
// dropped.
bool CpuMatmul::float_gradient_strip(const WeightGradientProduct& args, const float* a, std::int64_t first,
                                     const float* panel, float* tile) const {
  const std::int64_t columns = kernels_.columns;
  const MatmulKernels::Tile multiply = tile_of(args.dy.dtype);
  const std::int64_t words = args.dy.rows() / terms_in_word(args.dy.dtype);
  const std::int64_t count = std::min(columns, args.dw.columns() - first);
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
  const auto rows_at = [&](std::int64_t row) {
    return std::min<std::int64_t>(kTileRows, args.dw.rows() - row);
  };
  std::uint32_t greatest = 0;
  std::fill_n(tile, tile_floats(), 0.0f);
  for (std::int64_t row = 0; row < args.dw.rows(); row += kTileRows) {
    const std::int64_t rows = rows_at(row);
    const std::int64_t next = row + kTileRows;
    if (next < args.dw.rows()) prefetch_tile<float>(args.dw, next, rows_at(next), first, count);
    for (std::int64_t i = 0; i < rows; ++i)
      std::memcpy(tile + i * columns, args.dw.row<float>(row + i) + first, bytes);
    const float* left = a + row / kLeftColumns * kLeftColumns * words + row % kLeftColumns;
    multiply(left, 1, kLeftColumns, panel, words, {.start = tile, .to = tile});
    greatest = std::max(greatest, kernels_.greatest(tile, rows * columns));
    for (std::int64_t i = 0; i < rows; ++i)
      std::memcpy(args.dw.row<float>(row + i) + first, tile + i * columns, bytes);
  }
  return greatest < float_sum_limit_bits(args.shift);
}

template <class T>
void CpuMatmul::weight_gradient_typed(const WeightGradientProduct& args) {
  const std::int64_t words = args.dy.rows() / terms_in_word(args.dy.dtype);
  const std::int64_t columns = kernels_.columns;
  const std::int64_t left_panels = (args.dw.rows() + kLeftColumns - 1) / kLeftColumns;
  float* a = packed_.get<float>(static_cast<std::size_t>(left_panels * kLeftColumns * words));
  pool_.for_each(left_panels, [&](std::int64_t index, int) {
    const std::int64_t first = index * kLeftColumns;
    pack_columns<T>(args.dy, first, std::min(kLeftColumns, args.dw.rows() - first), kLeftColumns,
                    a + first * words);
  });
  const std::int64_t panel_floats = words * columns;
  const auto bytes = static_cast<std::size_t>((panel_floats + tile_floats()) * 4 + tile_floats() * 8);
  for (Scratch& scratch : thread_scratch_) scratch.get<char>(bytes);
  pool_.for_each(strips(args.dw.columns()), [&](std::int64_t index, int thread) {
    float* panel = thread_scratch_[static_cast<std::size_t>(thread)].get<float>(0);
    float* tile = panel + panel_floats;
    auto* sums = reinterpret_cast<std::int64_t*>(tile + tile_floats());
    const std::int64_t first = index * columns;
    pack_columns<T>(args.x, first, std::min(columns, args.dw.columns() - first), columns, panel);
    const bool good = args.dw.dtype == DType::f32 ? float_gradient_strip(args, a, first, panel, tile)
                                                  : gradient_strip(args, a, first, panel, tile, sums);
    if (!good) args.verdict->declare_bad();
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
  constexpr std::int64_t kChunk = 64;  // columns of one task
  const std::int64_t rows = args.dy.rows();
  const float scale = std::bit_cast<float>(static_cast<std::uint32_t>(args.shift + 127) << 23);
  with_float_type(args.dy.dtype, [&]<class T>(T) {
    pool_.for_range(args.dy.columns(), kChunk, [&](std::int64_t begin, std::int64_t end, int) {
      float row[kChunk] = {};
      float block_sum[kChunk];
      std::int64_t total[kChunk] = {};
      bool good = true;
      for (std::int64_t block = 0; block < rows; block += kBlockRows) {
        const std::int64_t last = std::min(block + kBlockRows, rows);
        std::fill_n(block_sum, kChunk, 0.0f);
        for (std::int64_t r = block; r < last; ++r) {
          widen(args.dy.row<T>(r) + begin, end - begin, row);
          kernels_.add(block_sum, row, kChunk, block_sum);
        }
        good &= kernels_.accumulate(block_sum, scale, kChunk, total) < contribution_limit_bits(last - block);
      }
      if (!good) args.verdict->declare_bad();
      kernels_.add_integers(total, end - begin, args.db.as<std::int64_t>() + begin);
    });
  });
}

}  // namespace megalith::cpu
