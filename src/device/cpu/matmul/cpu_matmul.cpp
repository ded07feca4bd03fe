// Exact products on the CPU: what is packed how, who computes which tile, and how tiles are finished.

#include <algorithm>
#include <bit>
#include <vector>

#include "core/fixed_point.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/matmul/chain_order.h"
#include "device/cpu/matmul/matmul_kernels.h"
#include "device/cpu/scratch.h"

namespace megalith::cpu {
namespace {

constexpr std::int64_t kWordsPerBlock = 384;  // of a B panel: stays in the second-level cache while rows pass
constexpr std::int64_t kTilesPerBlock = 32;   // of kTileRows rows: their partial sums stay in the cache too

MatmulKernels kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512_bf16) return matmul_kernels_avx512_bf16();
  if (isa == Isa::avx512) return matmul_kernels_avx512();
  if (isa == Isa::avx2) return matmul_kernels_avx2();
#else
  static_cast<void>(isa);
#endif
  return matmul_kernels_portable();
}

std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// One product y[M, N] = sum over k of a[M, k] b[k, N], with a's rows contiguous along k.
struct Product {
  Tensor a;  // [M, K]
  Tensor w;  // [N, K] when transposed, else [K, N]
  bool transposed = false;
  Tensor bias;
  Tensor y;
};

class CpuMatmul final : public MatmulOps {
 public:
  CpuMatmul(ThreadPool& pool, Isa isa)
      : pool_(pool),
        kernels_(kernels_of(isa)),
        thread_scratch_(static_cast<std::size_t>(pool.num_threads())) {}

  void forward(const ForwardProduct& args) override {
    MEGALITH_CHECK(args.x.columns() == args.w.columns() && args.y.columns() == args.w.rows() &&
                       args.y.rows() == args.x.rows() && args.x.dtype == args.w.dtype,
                   "{} x {} -> {}", describe(args.x), describe(args.w), describe(args.y));
    order_.set(args.order, args.x.columns(), args.x.dtype == DType::bf16);
    run({.a = args.x, .w = args.w, .transposed = true, .bias = args.bias, .y = args.y});
  }
  void input_gradient(const InputGradientProduct& args) override {
    MEGALITH_CHECK(args.dy.columns() == args.w.rows() && args.dx.columns() == args.w.columns() &&
                       args.dx.rows() == args.dy.rows() && args.dy.dtype == args.w.dtype,
                   "{} x {} -> {}", describe(args.dy), describe(args.w), describe(args.dx));
    order_.set(args.order, args.dy.columns(), args.dy.dtype == DType::bf16);
    run({.a = args.dy, .w = args.w, .transposed = false, .bias = {}, .y = args.dx});
  }
  void weight_gradient(const WeightGradientProduct& args) override;
  void bias_gradient(const BiasGradient& args) override;

 private:
  void run(const Product& product);
  template <class T>
  void run_typed(const Product& product);
  template <class T>
  void pack_rows(const Tensor& a, float* packed);
  template <class T>
  void pack_strip(const Product& product, std::int64_t first, std::int64_t count, float* panel,
                  float* rows) const;
  template <class T>
  void pack_untransposed(const Product& product, std::int64_t first, std::int64_t count, float* panel) const;
  void strip(const Product& product, const float* a, std::int64_t first, float* panel, float* sums) const;
  void finish_tile(const Product& product, std::int64_t row, std::int64_t column, const float* tile) const;
  template <class T>
  void widen(const T* from, std::int64_t count, float* to) const {
    if constexpr (std::is_same_v<T, bf16>) {
      kernels_.widen_bf16(from, count, to);
    } else {
      kernels_.widen_f32(from, count, to);
    }
  }
  template <class T>
  void pack_chain(const T* from, std::int64_t count, float* to) const {
    if constexpr (std::is_same_v<T, bf16>) {
      kernels_.pack_chain_bf16(from, count, to);
    } else {
      kernels_.pack_chain_f32(from, count, to);
    }
  }
  // Terms in a word of packed operands.
  [[nodiscard]] std::int64_t terms_in_word(DType dtype) const {
    return dtype == DType::bf16 ? kernels_.bf16_terms_word : 1;
  }
  [[nodiscard]] MatmulKernels::Tile tile_of(DType dtype) const {
    return dtype == DType::bf16 ? kernels_.tile_bf16 : kernels_.tile_f32;
  }
  template <class T>
  void weight_gradient_typed(const WeightGradientProduct& args);
  // Columns [first, first + count) of a [M, ...] matrix as a panel [words of M][width], chains along tokens.
  template <class T>
  void pack_columns(const Tensor& matrix, std::int64_t first, std::int64_t count, std::int64_t width,
                    float* panel) const {
    const T* from = matrix.as<T>() + first;
    if constexpr (std::is_same_v<T, bf16>) {
      kernels_.pack_panel_bf16(from, matrix.row_stride, matrix.rows(), count, width, panel);
    } else {
      kernels_.pack_panel_f32(from, matrix.row_stride, matrix.rows(), count, width, panel);
    }
  }
  bool gradient_strip(const WeightGradientProduct& args, const float* a, std::int64_t first,
                      const float* panel, float* tile, std::int64_t* sums) const;

  [[nodiscard]] std::int64_t tile_floats() const { return kTileRows * kernels_.columns; }

  ThreadPool& pool_;
  MatmulKernels kernels_;
  ChainOrder order_;
  Scratch packed_;
  std::vector<Scratch> thread_scratch_;
};

// Words of one row in chain order, element by element: for parts that begin or end inside a pair.
template <class T>
void gather_chain(const T* from, const std::vector<std::int64_t>& sources, std::int64_t terms_in_word,
                  float* to) {
  const auto element = [&](std::size_t place) { return sources[place] < 0 ? T{} : from[sources[place]]; };
  for (std::size_t place = 0; place < sources.size(); place += static_cast<std::size_t>(terms_in_word)) {
    if constexpr (std::is_same_v<T, bf16>) {
      if (terms_in_word == 2) {  // places stand high before low
        const std::uint32_t word = std::uint32_t{element(place).bits} << 16 | element(place + 1).bits;
        to[place / 2] = std::bit_cast<float>(word);
        continue;
      }
    }
    to[place] = to_float(element(place));
  }
}

// Rows of A in chain order, [rounded up rows][words]; rows past the end are zero.
template <class T>
void CpuMatmul::pack_rows(const Tensor& a, float* packed) {
  const std::int64_t terms = terms_in_word(a.dtype);
  const std::int64_t words = order_.length() / terms;
  const std::int64_t rows = a.rows();
  const std::int64_t padded = round_up(rows, kTileRows);
  pool_.for_range(padded, 16, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      float* to = packed + r * words;
      if (r >= rows) {
        std::fill_n(to, words, 0.0f);
      } else if (order_.parts_are_whole()) {
        for (const ChainPart& part : order_.parts())
          pack_chain(a.row<T>(r) + part.source, part.count, to + part.packed / terms);
      } else {
        gather_chain(a.row<T>(r), order_.sources(), terms, to);
      }
    }
  });
}

// Rows of w are terms: they become panel rows as they are.
template <class T>
void CpuMatmul::pack_untransposed(const Product& product, std::int64_t first, std::int64_t count,
                                  float* panel) const {
  const std::int64_t columns = kernels_.columns;
  const std::vector<std::int64_t>& sources = order_.sources();
  const auto row = [&](std::size_t place) {
    return sources[place] < 0 ? nullptr : product.w.row<T>(sources[place]) + first;
  };
  const auto terms = static_cast<std::size_t>(terms_in_word(product.w.dtype));
  for (std::size_t place = 0; place < sources.size(); place += terms, panel += columns) {
    if (count < columns) std::fill_n(panel, columns, 0.0f);
    if constexpr (std::is_same_v<T, bf16>) {
      if (terms == 2) {  // places stand high before low
        kernels_.interleave_bf16(row(place + 1), row(place), count, panel);
        continue;
      }
    }
    if (row(place) == nullptr) {
      std::fill_n(panel, columns, 0.0f);
    } else {
      widen(row(place), count, panel);
    }
  }
}

// The panel [words][columns] of columns [first, first + count) of y; columns past the end are zero.
template <class T>
void CpuMatmul::pack_strip(const Product& product, std::int64_t first, std::int64_t count, float* panel,
                           float* rows) const {
  if (!product.transposed) return pack_untransposed<T>(product, first, count, panel);
  const std::int64_t columns = kernels_.columns;
  const std::int64_t terms = terms_in_word(product.w.dtype);
  const std::int64_t words = order_.length() / terms;
  for (std::int64_t j = 0; j < columns; ++j) {
    float* to = rows + j * words;
    if (j >= count) {
      std::fill_n(to, words, 0.0f);
      continue;
    }
    const T* from = product.w.row<T>(first + j);
    for (const ChainPart& part : order_.parts())
      pack_chain(from + part.source, part.count, to + part.packed / terms);
  }
  constexpr std::int64_t kBlock = 16;
  for (std::int64_t k0 = 0; k0 < words; k0 += kBlock) {
    const std::int64_t k1 = std::min(k0 + kBlock, words);
    for (std::int64_t j = 0; j < columns; ++j) {
      for (std::int64_t k = k0; k < k1; ++k) panel[k * columns + j] = rows[j * words + k];
    }
  }
}

void CpuMatmul::finish_tile(const Product& product, std::int64_t row, std::int64_t column,
                            const float* tile) const {
  const std::int64_t count = std::min<std::int64_t>(kernels_.columns, product.y.columns() - column);
  const std::int64_t rows = std::min<std::int64_t>(kTileRows, product.y.rows() - row);
  const float* bias = product.bias.empty() ? nullptr : product.bias.as<float>() + column;
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* from = tile + i * kernels_.columns;
    if (product.y.dtype == DType::f32) {
      kernels_.store_f32(from, bias, count, product.y.row<float>(row + i) + column);
    } else {
      kernels_.store_bf16(from, bias, count, product.y.row<bf16>(row + i) + column);
    }
  }
}

// All rows of one strip of columns, a block of tiles at a time. `sums` holds per level l the finished
// subtrees of 2^l leaves that wait for their partners, and last the leaf that is being added up.
void CpuMatmul::strip(const Product& product, const float* a, std::int64_t first, float* panel,
                      float* sums) const {
  const MatmulKernels::Tile multiply = tile_of(product.a.dtype);
  const std::int64_t row_words = order_.length() / terms_in_word(product.a.dtype);
  const std::int64_t leaf_words = order_.leaf_length() / terms_in_word(product.a.dtype);
  const std::int64_t tiles = round_up(product.y.rows(), kTileRows) / kTileRows;
  const std::int64_t size = tile_floats();
  const int levels = std::bit_width(static_cast<unsigned>(order_.leaves())) - 1;
  for (std::int64_t tile0 = 0; tile0 < tiles; tile0 += kTilesPerBlock) {
    const std::int64_t tile1 = std::min(tile0 + kTilesPerBlock, tiles);
    const auto slot = [&](int level, std::int64_t tile) {
      return sums + (level * kTilesPerBlock + tile - tile0) * size;
    };
    for (int leaf = 0; leaf < order_.leaves(); ++leaf) {
      const int target = leaf % 2 == 0 ? 0 : levels + 1;  // an even leaf waits at once
      for (std::int64_t k0 = 0; k0 < leaf_words; k0 += kWordsPerBlock) {
        const std::int64_t words = std::min(kWordsPerBlock, leaf_words - k0);
        const std::int64_t at = leaf * leaf_words + k0;
        for (std::int64_t tile = tile0; tile < tile1; ++tile) {
          multiply(a + tile * kTileRows * row_words + at, row_words, 1, panel + at * kernels_.columns, words,
                   slot(target, tile), k0 == 0);
        }
      }
      // An odd leaf joins the subtrees it completes, like a binary counter's carry.
      for (int level = 0; ((leaf >> level) & 1) != 0; ++level) {
        const bool last = ((leaf >> (level + 1)) & 1) == 0;
        for (std::int64_t tile = tile0; tile < tile1; ++tile) {
          float* running = slot(levels + 1, tile);
          kernels_.add(slot(level, tile), running, size, last ? slot(level + 1, tile) : running);
        }
      }
    }
    for (std::int64_t tile = tile0; tile < tile1; ++tile) {
      finish_tile(product, tile * kTileRows, first, slot(levels, tile));
    }
  }
}

template <class T>
void CpuMatmul::run_typed(const Product& product) {
  const std::int64_t words = order_.length() / terms_in_word(product.a.dtype);
  const std::int64_t columns = kernels_.columns;
  const std::int64_t padded_rows = round_up(product.a.rows(), kTileRows);
  float* a = packed_.get<float>(static_cast<std::size_t>(padded_rows * words));
  pack_rows<T>(product.a, a);
  const std::int64_t panel_floats = words * columns;
  const std::int64_t row_floats = product.transposed ? panel_floats : 0;
  const std::int64_t sum_floats = 8 * kTilesPerBlock * tile_floats();
  for (Scratch& scratch : thread_scratch_) {
    scratch.get<float>(static_cast<std::size_t>(panel_floats + row_floats + sum_floats));
  }
  pool_.for_each((product.y.columns() + columns - 1) / columns, [&](std::int64_t index, int thread) {
    float* panel = thread_scratch_[static_cast<std::size_t>(thread)].get<float>(0);
    const std::int64_t first = index * columns;
    pack_strip<T>(product, first, std::min(columns, product.y.columns() - first), panel,
                  panel + panel_floats);
    strip(product, a, first, panel, panel + panel_floats + row_floats);
  });
}

void CpuMatmul::run(const Product& product) {
  with_float_type(product.a.dtype, [&]<class T>(T) { run_typed<T>(product); });
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
    std::fill_n(sums, tile_floats(), std::int64_t{0});
    for (std::int64_t t = 0; t < words; t += grain_words) {
      multiply(a + row * words + t * kTileRows, 1, kTileRows, panel + t * columns, grain_words, tile, true);
      greatest = std::max(greatest, kernels_.accumulate(tile, scale, tile_floats(), sums));
    }
    const std::int64_t rows = std::min<std::int64_t>(kTileRows, args.dw.rows() - row);
    for (std::int64_t i = 0; i < rows; ++i) {
      std::int64_t* to = args.dw.row<std::int64_t>(row + i) + first;
      const std::int64_t* from = sums + i * columns;
      for (std::int64_t j = 0; j < count; ++j) {
        to[j] = static_cast<std::int64_t>(static_cast<std::uint64_t>(to[j]) +
                                          static_cast<std::uint64_t>(from[j]));
      }
    }
  }
  return greatest < limit;
}

template <class T>
void CpuMatmul::weight_gradient_typed(const WeightGradientProduct& args) {
  const std::int64_t words = args.dy.rows() / terms_in_word(args.dy.dtype);
  const std::int64_t columns = kernels_.columns;
  const std::int64_t row_tiles = round_up(args.dw.rows(), kTileRows) / kTileRows;
  float* a = packed_.get<float>(static_cast<std::size_t>(row_tiles * kTileRows * words));
  pool_.for_each(row_tiles, [&](std::int64_t index, int) {
    const std::int64_t first = index * kTileRows;
    pack_columns<T>(args.dy, first, std::min<std::int64_t>(kTileRows, args.dw.rows() - first), kTileRows,
                    a + first * words);
  });
  const std::int64_t panel_floats = words * columns;
  const auto bytes = static_cast<std::size_t>((panel_floats + tile_floats()) * 4 + tile_floats() * 8);
  for (Scratch& scratch : thread_scratch_) scratch.get<char>(bytes);
  pool_.for_each((args.dw.columns() + columns - 1) / columns, [&](std::int64_t index, int thread) {
    float* panel = thread_scratch_[static_cast<std::size_t>(thread)].get<float>(0);
    float* tile = panel + panel_floats;
    auto* sums = reinterpret_cast<std::int64_t*>(tile + tile_floats());
    const std::int64_t first = index * columns;
    pack_columns<T>(args.x, first, std::min(columns, args.dw.columns() - first), columns, panel);
    if (!gradient_strip(args, a, first, panel, tile, sums)) args.verdict->declare_bad();
  });
}

void CpuMatmul::weight_gradient(const WeightGradientProduct& args) {
  MEGALITH_CHECK(args.dy.rows() == args.x.rows() && args.dw.rows() == args.dy.columns() &&
                     args.dw.columns() == args.x.columns() && args.dy.dtype == args.x.dtype,
                 "{}, {} -> {}", describe(args.dy), describe(args.x), describe(args.dw));
  MEGALITH_CHECK(args.grain > 0 && args.dy.rows() % args.grain == 0 &&
                     (args.grain % 2 == 0 || args.dy.dtype == DType::f32),
                 "{} tokens in grains of {}", args.dy.rows(), args.grain);
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
      std::int64_t* to = args.db.as<std::int64_t>() + begin;
      for (std::int64_t j = 0; j < end - begin; ++j) {
        to[j] = static_cast<std::int64_t>(static_cast<std::uint64_t>(to[j]) +
                                          static_cast<std::uint64_t>(total[j]));
      }
    });
  });
}

}  // namespace

std::unique_ptr<MatmulOps> make_matmul(ThreadPool& pool, Isa isa) {
  return std::make_unique<CpuMatmul>(pool, isa);
}

}  // namespace megalith::cpu
