#include "device/cpu/matmul/int8_matmul.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "device/cpu/matmul/packed_strips.h"

namespace megalith::cpu {
namespace {

bool has_vnni() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

int levels_of(int leaves) {
  return std::bit_width(static_cast<unsigned>(leaves)) - 1;
}

}  // namespace

Int8Kernels int8_kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512 || isa == Isa::avx512_bf16)
    return has_vnni() ? int8_kernels_avx512_vnni() : int8_kernels_avx512();
  if (isa == Isa::avx2) return int8_kernels_avx2();
#else
  static_cast<void>(isa);
#endif
  return int8_kernels_portable();
}

std::vector<Int8Kernels> available_int8_kernels() {
  std::vector<Int8Kernels> result;
  for (const Isa isa : available_isas()) {
    if (isa == Isa::avx512_bf16) continue;  // for these products the same
#if defined(__x86_64__)
    if (isa == Isa::avx512 && has_vnni()) result.push_back(int8_kernels_avx512());
#endif
    result.push_back(int8_kernels_of(isa));
  }
  return result;
}

Int8Matmul::Int8Matmul(ThreadPool& pool, const Int8Kernels& kernels, const MatmulKernels& operands)
    : pool_(pool),
      kernels_(kernels),
      operands_(operands),
      thread_scratch_(static_cast<std::size_t>(pool.num_threads())) {}

void Int8Matmul::set_order(const SumOrder& order, std::int64_t dimension) {
  order_.set(order, dimension, false);
  leaf_blocks_ = (order_.leaf_length() + kInt8Block - 1) / kInt8Block;
}

void Int8Matmul::reserve_thread_floats(std::int64_t count) {
  for (Scratch& scratch : thread_scratch_) scratch.get<float>(static_cast<std::size_t>(count));
}

std::int64_t Int8Matmul::place_of(const ChainPart& part) const {
  const std::int64_t leaf = part.packed / order_.leaf_length();
  return leaf * leaf_blocks_ * kInt8Block + part.packed % order_.leaf_length();
}

// Each leaf's end is padded with zeros to whole blocks.
void Int8Matmul::chain_of_row(const Tensor& matrix, std::int64_t row, float* to) const {
  if (order_.leaf_length() % kInt8Block != 0) std::fill_n(to, blocks() * kInt8Block, 0.0f);
  for (const ChainPart& part : order_.parts()) {
    if (matrix.dtype == DType::bf16) {
      operands_.widen_bf16(matrix.row<bf16>(row) + part.source, part.count, to + place_of(part));
    } else {
      operands_.widen_f32(matrix.row<float>(row) + part.source, part.count, to + place_of(part));
    }
  }
}

std::size_t Int8Matmul::packed_bytes(const Tensor& w, const SumOrder& order) {
  set_order(order, w.columns());
  return static_cast<std::size_t>(strips(w.rows()) * strip_bytes());
}

void Int8Matmul::pack_strip(const Tensor& rows, float* chain, std::byte* strip) const {
  const std::int64_t columns = kernels_.columns;
  for (std::int64_t j = 0; j < columns; ++j) {
    const bool inside = j < rows.rows();
    if (inside) chain_of_row(rows, j, chain);
    std::byte* to = strip;
    for (std::int64_t block = 0; block < blocks(); ++block, to += kernels_.block_bytes()) {
      std::uint8_t bytes[kInt8Block];
      bf16 scale{};
      if (inside) {
        scale = kernels_.quantise_weights(chain + block * kInt8Block, bytes);
      } else {
        std::fill(std::begin(bytes), std::end(bytes), std::uint8_t{128});
      }
      std::memcpy(to + j * 2, &scale, 2);
      for (std::int64_t step = 0; step < kInt8Block / 4; ++step)
        std::memcpy(to + columns * 2 + (step * columns + j) * 4, bytes + step * 4, 4);
    }
  }
}

void Int8Matmul::pack(const WeightPacking& args) {
  set_order(args.order, args.w.columns());
  const std::int64_t chain_floats = blocks() * kInt8Block;
  const std::size_t row_bytes = strip_row_bytes(args, kernels_.columns);
  reserve_thread_floats(chain_floats +
                        static_cast<std::int64_t>((row_bytes + sizeof(float) - 1) / sizeof(float)));
  auto* packed = static_cast<std::byte*>(args.packed);
  const auto memory = [&](int thread) { return thread_floats(thread) + chain_floats; };
  for_packed_strips(args, kernels_.columns, pool_, memory,
                    [&](std::int64_t index, const Tensor& rows, int thread) {
                      pack_strip(rows, thread_floats(thread), packed + index * strip_bytes());
                    });
}

void Int8Matmul::unpack(const WeightRows& args) {
  set_order(args.order, args.w.columns());
  const std::int64_t columns = kernels_.columns;
  for (std::int64_t r = 0; r < args.to.rows(); ++r) {
    const std::int64_t row = args.rows[r];
    const std::byte* strip = static_cast<const std::byte*>(args.packed) + row / columns * strip_bytes();
    for (const ChainPart& part : order_.parts()) {
      for (std::int64_t i = 0; i < part.count; ++i) {
        const std::int64_t place = place_of(part) + i;
        const std::byte* block = strip + place / kInt8Block * kernels_.block_bytes();
        const std::int64_t term = place % kInt8Block;
        bf16 scale;
        std::memcpy(&scale, block + row % columns * 2, 2);
        const std::byte byte = block[columns * 2 + (term / 4 * columns + row % columns) * 4 + term % 4];
        const float value = static_cast<float>(std::to_integer<int>(byte) - 128) * to_float(scale);
        if (args.to.dtype == DType::bf16) {
          args.to.row<bf16>(r)[part.source + i] = to_bf16(value);
        } else {
          args.to.row<float>(r)[part.source + i] = value;
        }
      }
    }
  }
}

void Int8Matmul::quantise_rows(const Tensor& x, std::int32_t* to) {
  const auto rows = [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t row = begin; row < end; ++row) {
      chain_of_row(x, row, thread_floats(thread));
      kernels_.quantise_row(thread_floats(thread), blocks(), to + row * row_words());
    }
  };
  if (x.rows() == 1) return rows(0, 1, 0);  // less work than waking the others
  pool_.for_range(x.rows(), 4, rows);
}

void Int8Matmul::multiply(const ForwardProduct& args, const std::int32_t* x, std::int64_t row,
                          std::int64_t rows, std::int64_t strip, float* sums) const {
  const std::byte* weights = static_cast<const std::byte*>(args.packed) + strip * strip_bytes();
  const std::int64_t size = kInt8TileRows * kernels_.columns;
  for (int leaf = 0; leaf < order_.leaves(); ++leaf) {
    TileSums chains;
    int level = 0;  // a leaf joins the subtrees that it completes, like a binary counter's carry
    for (; ((leaf >> level) & 1) != 0; ++level) chains.joins[chains.num_joins++] = sums + level * size;
    chains.to = sums + level * size;
    kernels_.tiles[rows - 1](x + row * row_words() + leaf * leaf_blocks_ * kernels_.row_words, row_words(),
                             weights + leaf * leaf_blocks_ * kernels_.block_bytes(), leaf_blocks_, chains);
  }
  const std::int64_t column = strip * kernels_.columns;
  const std::int64_t count = std::min<std::int64_t>(kernels_.columns, args.y.columns() - column);
  const float* bias = args.bias.empty() ? nullptr : args.bias.as<float>() + column;
  const float* result = sums + levels_of(order_.leaves()) * size;
  for (std::int64_t i = 0; i < rows; ++i, result += kernels_.columns) {
    if (args.y.dtype == DType::f32) {
      operands_.store_f32(result, bias, count, args.y.row<float>(row + i) + column);
    } else {
      operands_.store_bf16(result, bias, count, args.y.row<bf16>(row + i) + column);
    }
  }
}

void Int8Matmul::forward(const ForwardProduct& args) {
  set_order(args.order, args.x.columns());
  const std::int64_t tile_sums = (levels_of(order_.leaves()) + 1) * kInt8TileRows * kernels_.columns;
  reserve_thread_floats(std::max(blocks() * kInt8Block, tile_sums));
  auto* x = rows_.get<std::int32_t>(static_cast<std::size_t>(args.x.rows() * row_words()));
  quantise_rows(args.x, x);

  const std::int64_t tiles = (args.x.rows() + kInt8TileRows - 1) / kInt8TileRows;
  const std::int64_t num_strips = strips(args.y.columns());
  // Rows are cut where strips alone are too few tasks.
  const std::int64_t wanted = (4 * pool_.num_threads() + num_strips - 1) / num_strips;
  const std::int64_t groups = std::max<std::int64_t>(1, std::min(wanted, tiles / 8));
  const std::int64_t group_tiles = (tiles + groups - 1) / groups;
  pool_.for_each(num_strips * groups, [&](std::int64_t task, int thread) {
    const std::int64_t begin = task % groups * group_tiles * kInt8TileRows;
    const std::int64_t end = std::min(begin + group_tiles * kInt8TileRows, args.x.rows());
    for (std::int64_t row = begin; row < end; row += kInt8TileRows) {
      multiply(args, x, row, std::min<std::int64_t>(kInt8TileRows, end - row), task / groups,
               thread_floats(thread));
    }
  });
}

}  // namespace megalith::cpu
