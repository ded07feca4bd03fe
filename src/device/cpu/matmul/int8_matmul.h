// Products with int8 weights on the CPU: weights are quantised when they are packed, rows when they come.
#pragma once

#include <vector>

#include "core/thread_pool.h"
#include "device/cpu/isa.h"
#include "device/cpu/matmul/chain_order.h"
#include "device/cpu/matmul/int8_kernels.h"
#include "device/cpu/scratch.h"

namespace megalith::cpu {

std::vector<Int8Kernels> available_int8_kernels();  // of this processor, slowest first
Int8Kernels int8_kernels_of(Isa isa);               // the fastest that such a processor has

class Int8Matmul {
 public:
  // `operands`: of this processor; its conversions of rows and results are used.
  Int8Matmul(ThreadPool& pool, const Int8Kernels& kernels, const MatmulKernels& operands);

  std::size_t packed_bytes(const Tensor& w, const SumOrder& order);
  void pack(const WeightPacking& args);
  void unpack(const WeightRows& args);
  void forward(const ForwardProduct& args);

 private:
  void set_order(const SumOrder& order, std::int64_t dimension);
  [[nodiscard]] std::int64_t blocks() const { return leaf_blocks_ * order_.leaves(); }
  [[nodiscard]] std::int64_t strips(std::int64_t outputs) const {
    return (outputs + kernels_.columns - 1) / kernels_.columns;
  }
  [[nodiscard]] std::ptrdiff_t strip_bytes() const { return blocks() * kernels_.block_bytes(); }
  [[nodiscard]] std::int64_t row_words() const { return blocks() * kernels_.row_words; }
  // A thread's memory: a row in chain order, or the sums of a tile.
  float* thread_floats(int thread) { return thread_scratch_[static_cast<std::size_t>(thread)].get<float>(0); }
  void reserve_thread_floats(std::int64_t count);
  // Where part `part` of the dimension begins in a row of whole blocks.
  [[nodiscard]] std::int64_t place_of(const ChainPart& part) const;
  void chain_of_row(const Tensor& matrix, std::int64_t row, float* to) const;
  // One strip of a weight's rows; those past the last are zero.
  void pack_strip(const Tensor& rows, float* chain, std::byte* strip) const;
  void quantise_rows(const Tensor& x, std::int32_t* to);
  // Rows [row, row + rows) of y, at most kInt8TileRows, and the columns of one strip.
  void multiply(const ForwardProduct& args, const std::int32_t* x, std::int64_t row, std::int64_t rows,
                std::int64_t strip, float* sums) const;

  ThreadPool& pool_;
  Int8Kernels kernels_;
  MatmulKernels operands_;
  ChainOrder order_;
  std::int64_t leaf_blocks_ = 0;
  Scratch rows_;
  std::vector<Scratch> thread_scratch_;
};

}  // namespace megalith::cpu
