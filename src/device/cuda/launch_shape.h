// What a launch is, without how it is planned: kernels' own files include this and nothing that formats text,
// which nvcc cannot read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace megalith::cuda {

struct LaunchPlan {
  std::int64_t blocks_x = 1, blocks_y = 1, blocks_z = 1;
  int threads = 1;
  std::size_t shared_bytes = 0;
  bool operator==(const LaunchPlan&) const = default;
};

// What a plan needs to know of a device.
struct DeviceShape {
  int multiprocessors = 132;
  std::size_t shared_bytes = 227 * 1024;  // that one block may have
};

inline constexpr std::int64_t kMostBlocksAlongX = 2147483647;
inline constexpr std::int64_t kMostBlocksAlongY = 65535;  // and z

// Of a product: y = x w^T, dx = dy w, dw += dy^T x.
enum class ProductForm : std::uint8_t { forward, input_gradient, weight_gradient };
const char* name_of(ProductForm form);

// Tiles of the tensor core kernel (kernels/tensor_core_product.h).
enum class TensorCoreTiling : std::uint8_t {
  wide,      // 128 x 128, one leaf
  tree,      // 64 x 128, up to 8 leaves
  deep,      // 64 x 64, up to 64 leaves
  narrow,    // 16 x 128, up to 64 leaves
  gradient,  // 64 x 128 with integer sums
};

// Tiles along x, shares of the grains along z. Threads and shared memory belong to the kernel.
struct ProductPlan {
  std::int64_t row_tiles = 1;
  std::int64_t column_tiles = 1;
  std::int64_t shares = 1;              // of the segments
  std::int64_t segments_per_share = 1;  // the last may have fewer
};

// Which instance of a product's kernel, and over how many tiles.
struct ProductLaunch {
  ProductForm form = ProductForm::forward;
  ProductPlan plan;
  int levels = 0;                                      // of the tree; multiply-adds only
  TensorCoreTiling tiling = TensorCoreTiling::narrow;  // tensor cores only
};

}  // namespace megalith::cuda
