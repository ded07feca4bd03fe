#include "device/cuda/launch_plan.h"

#include <algorithm>

namespace megalith::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kGroup = 16;
constexpr std::int64_t kGradientRows = 32;
constexpr std::int64_t kBlocksPerMultiprocessor = 8;  // of 256 threads: all that fit at once

std::int64_t blocks_for(std::int64_t count, std::int64_t in_block) {
  return (count + in_block - 1) / in_block;
}
std::int64_t busy_blocks(const DeviceShape& device) {
  return device.multiprocessors * kBlocksPerMultiprocessor;
}

// Blocks along y: enough to keep the device busy together with those along x, and no more than there is work.
std::int64_t blocks_down(std::int64_t blocks_across, std::int64_t work, const DeviceShape& device) {
  const std::int64_t wanted = blocks_for(busy_blocks(device), std::max<std::int64_t>(blocks_across, 1));
  return std::clamp<std::int64_t>(wanted, 1, std::clamp<std::int64_t>(work, 1, kMostBlocksAlongY));
}

}  // namespace

LaunchPlan plan_rows(std::int64_t rows) {
  return {.blocks_x = blocks_for(rows, kThreads / kGroup), .threads = kThreads};
}

LaunchPlan plan_norm_gradients(std::int64_t rows, std::int64_t columns, const DeviceShape& device) {
  constexpr int kGradientThreads = 128;
  const std::int64_t across = blocks_for(columns, kGradientThreads);  // a column per thread
  return {.blocks_x = across,
          .blocks_y = blocks_down(across, blocks_for(rows, kGradientRows), device),
          .threads = kGradientThreads};
}

LaunchPlan plan_bias_gradient(std::int64_t rows, std::int64_t columns, const DeviceShape& device) {
  return plan_norm_gradients(rows, columns, device);
}

LaunchPlan plan_stretches(std::int64_t rows, std::int64_t columns, int vector, const DeviceShape& device) {
  const std::int64_t stretches = blocks_for(columns, vector);
  // No more warps than a narrow row fills.
  const auto threads = static_cast<int>(std::min<std::int64_t>(kThreads, blocks_for(stretches, 32) * 32));
  const std::int64_t across = blocks_for(stretches, threads);
  return {.blocks_x = across, .blocks_y = blocks_down(across, rows, device), .threads = threads};
}

LaunchPlan plan_elements(std::int64_t count, int vector) {
  return {.blocks_x = blocks_for(count, std::int64_t{kThreads} * vector), .threads = kThreads};
}

LaunchPlan plan_sum(std::int64_t count, const DeviceShape& device) {
  return {.blocks_x = std::clamp<std::int64_t>(blocks_for(count, kThreads), 1, busy_blocks(device)),
          .threads = kThreads,
          .shared_bytes = kThreads * sizeof(std::uint64_t)};
}

int vector_width(int widest, std::int64_t columns, std::initializer_list<Tensor> tensors) {
  if (columns % widest != 0) return 1;
  for (const Tensor& tensor : tensors) {
    if (tensor.empty()) continue;
    const std::size_t size = size_of(tensor.dtype);
    const std::size_t alignment = std::min<std::size_t>(16, static_cast<std::size_t>(widest) * size);
    const std::size_t pitch = static_cast<std::size_t>(tensor.row_stride) * size;
    if (reinterpret_cast<std::uintptr_t>(tensor.data) % alignment != 0) return 1;
    if (tensor.rows() > 1 && pitch % alignment != 0) return 1;
  }
  return widest;
}

}  // namespace megalith::cuda
