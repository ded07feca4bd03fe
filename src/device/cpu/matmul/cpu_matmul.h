// The CPU's exact products: what is packed how, who computes which tile, and how tiles are finished. Forward
// and input gradient are one algorithm (cpu_matmul.cpp); weight and bias gradients end in integers
// (cpu_matmul_gradients.cpp).
#pragma once

#include <type_traits>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "device/cpu/matmul/int8_matmul.h"
#include "device/cpu/matmul/matmul_kernels.h"
#include "device/cpu/matmul/product_plan.h"
#include "device/cpu/scratch.h"

namespace megalith::cpu {

class CpuMatmul final : public MatmulOps {
 public:
  CpuMatmul(ThreadPool& pool, Isa isa);

  void forward(const ForwardProduct& args) override;
  void input_gradient(const InputGradientProduct& args) override;
  void weight_gradient(const WeightGradientProduct& args) override;
  void bias_gradient(const BiasGradient& args) override;
  std::size_t packed_bytes(const Tensor& w, const SumOrder& order, WeightFormat format) override;
  void pack(const WeightPacking& args) override;
  void unpack(const WeightRows& args) override;

 private:
  // One product y[M, N] = sum over k of a[M, k] b[k, N], with a's rows contiguous along k.
  struct Product {
    Tensor a;  // [M, K]
    Tensor w;  // [N, K] when transposed, else [K, N]
    bool transposed = false;
    const float* packed = nullptr;  // every strip's panel, one after another: read instead of w
    Tensor bias;
    Tensor y;
  };
  // The left operand's words: in memory as they lie, or packed in chain order.
  struct LeftWords {
    const float* words;
    std::ptrdiff_t stride;
    bool in_chain_order;
  };
  // Rows of one tile. Rows are spread evenly over tiles, so that none computes what nobody wants.
  struct TileRows {
    std::int64_t first, count;
  };
  // Memory of one thread while it works on strips.
  struct StripMemory {
    float* panel;
    float* sums;  // per tile: a slot for each level of the tree, then the running leaf
  };

  void run(const Product& product);
  template <class T>
  void run_typed(const Product& product);
  template <class T>
  void pack_row(const Tensor& a, std::int64_t row, float* to) const;
  template <class T>
  void pack_rows(const Tensor& a, float* packed);
  template <class T>
  void pack_strip(const Product& product, std::int64_t first, const PieceChunk& chunk, float* panel) const;
  template <class T>
  void pack_part(const Product& product, std::int64_t first, std::int64_t source, std::int64_t terms,
                 float* panel) const;
  template <class T>
  void gather_strip(const Product& product, std::int64_t first, const PieceChunk& chunk, float* panel) const;
  template <class T>
  void strip(const Product& product, const LeftWords& left, std::int64_t first, std::int64_t tile0,
             std::int64_t tile1, const StripMemory& memory) const;
  void multiply_tile(DType dtype, const PieceChunk& chunk, const LeftWords& left, TileRows rows,
                     const float* panel, const float* ahead, float* sums) const;
  void finish_tile(const Product& product, TileRows rows, std::int64_t column, const float* tile) const;

  template <class T>
  void weight_gradient_typed(const WeightGradientProduct& args);
  // Columns [first, first + count) of a [M, ...] matrix as a panel [words of M][width], chains along tokens.
  template <class T>
  void pack_columns(const Tensor& matrix, std::int64_t first, std::int64_t count, std::int64_t width,
                    float* panel) const;
  bool gradient_strip(const WeightGradientProduct& args, const float* a, std::int64_t first,
                      const float* panel, float* tiles) const;

  // The kernel for elements of T.
  template <class T, class Bf16Kernel, class F32Kernel>
  static auto of_type(Bf16Kernel for_bf16, F32Kernel for_f32) {
    if constexpr (std::is_same_v<T, bf16>) {
      return for_bf16;
    } else {
      return for_f32;
    }
  }
  template <class T>
  void widen(const T* from, std::int64_t count, float* to) const {
    of_type<T>(kernels_.widen_bf16, kernels_.widen_f32)(from, count, to);
  }
  template <class T>
  void pack_chain(const T* from, std::int64_t count, float* to) const {
    of_type<T>(kernels_.pack_chain_bf16, kernels_.pack_chain_f32)(from, count, to);
  }
  // Rows of a matrix as rows of a panel: pairs of rows are the pairs of the chain.
  template <class T>
  void pack_panel(const T* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                  std::int64_t width, float* panel) const {
    of_type<T>(kernels_.pack_panel_bf16, kernels_.pack_panel_f32)(from, stride, rows, count, width, panel);
  }
  template <class T>
  void pack_transposed(const T* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                       float* panel) const {
    of_type<T>(kernels_.pack_transposed_bf16, kernels_.pack_transposed_f32)(from, stride, rows, count, panel);
  }
  template <class T>
  void sum_rows(const T* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                float* sums) const {
    of_type<T>(kernels_.sum_rows_bf16, kernels_.sum_rows_f32)(from, stride, rows, count, sums);
  }
  // Terms in a word of packed operands.
  [[nodiscard]] std::int64_t terms_in_word(DType dtype) const {
    return dtype == DType::bf16 ? kernels_.bf16_terms_word : 1;
  }
  // A row in memory is its words already.
  [[nodiscard]] bool rows_are_words(const Tensor& a) const;
  [[nodiscard]] MatmulKernels::Tile tile_of(DType dtype, std::int64_t rows) const {
    return (dtype == DType::bf16 ? kernels_.tiles_bf16 : kernels_.tiles_f32)[rows - 1];
  }
  [[nodiscard]] std::int64_t tile_floats() const { return kTileRows * kernels_.columns; }
  [[nodiscard]] std::int64_t strips(std::int64_t columns) const {
    return (columns + kernels_.columns - 1) / kernels_.columns;
  }

  ThreadPool& pool_;
  MatmulKernels kernels_;
  Int8Matmul int8_;
  ChainOrder order_;
  ProductPlan plan_;
  Scratch packed_;
  std::vector<Scratch> thread_scratch_;
};

}  // namespace megalith::cpu
