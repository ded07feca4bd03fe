// Launch plans: everything is covered once, within what a GPU allows, and busy where there is enough work.

#include "device/cuda/launch_plan.h"

#include <gtest/gtest.h>

#include <vector>

namespace megalith::cuda {
namespace {

constexpr DeviceShape kDevice{.multiprocessors = 132, .shared_bytes = 227 * 1024};

void expect_legal(const LaunchPlan& plan) {
  EXPECT_GE(plan.blocks_x, 1);
  EXPECT_LE(plan.blocks_x, kMostBlocksAlongX);
  EXPECT_GE(plan.blocks_y, 1);
  EXPECT_LE(plan.blocks_y, kMostBlocksAlongY);
  EXPECT_GE(plan.blocks_z, 1);
  EXPECT_LE(plan.blocks_z, kMostBlocksAlongY);
  EXPECT_GE(plan.threads, 32);
  EXPECT_LE(plan.threads, 256);
  EXPECT_EQ(plan.threads % 32, 0) << "groups and warps are whole";
}

TEST(LaunchPlan, EveryRowHasAGroupAndNoBlockIsIdle) {
  for (const std::int64_t rows : {1, 15, 16, 17, 8192, 1'000'000}) {
    const LaunchPlan plan = plan_rows(rows);
    expect_legal(plan);
    const std::int64_t groups_in_block = plan.threads / 16;
    EXPECT_GE(plan.blocks_x * groups_in_block, rows);
    EXPECT_LT((plan.blocks_x - 1) * groups_in_block, rows);
  }
}

TEST(LaunchPlan, GradientBlocksCoverTheColumnsAndNoMoreRowsThanThereAre) {
  for (const std::int64_t rows : {1, 31, 32, 33, 8192, 10'000'000}) {
    for (const std::int64_t columns : {1, 127, 128, 129, 768, 12288, 100'000}) {
      const LaunchPlan plan = plan_norm_gradients(rows, columns, kDevice);
      expect_legal(plan);
      EXPECT_GE(plan.blocks_x * plan.threads, columns);
      EXPECT_LT((plan.blocks_x - 1) * plan.threads, columns);
      EXPECT_LE(plan.blocks_y, (rows + 31) / 32);
    }
  }
  EXPECT_GE(
      plan_norm_gradients(8192, 768, kDevice).blocks_x * plan_norm_gradients(8192, 768, kDevice).blocks_y,
      kDevice.multiprocessors)
      << "8192 tokens keep every multiprocessor busy";
}

TEST(LaunchPlan, StretchesCoverARow) {
  for (const std::int64_t rows : {1, 3, 70'000, 1'000'000}) {
    for (const std::int64_t columns : {8, 96, 3072, 50304}) {
      for (const int vector : {1, 8}) {
        const LaunchPlan plan = plan_stretches(rows, columns, vector, kDevice);
        expect_legal(plan);
        EXPECT_GE(plan.blocks_x * plan.threads * vector, columns);
        EXPECT_LT((plan.blocks_x - 1) * plan.threads * vector, columns);
        EXPECT_LE(plan.blocks_y, rows);
      }
    }
  }
  EXPECT_EQ(plan_stretches(4, 96, 8, kDevice).threads, 32) << "a narrow row has no idle warps";
}

TEST(LaunchPlan, ElementsAreCoveredOnceUpToBillions) {
  for (const std::int64_t count : std::vector<std::int64_t>{1, 1023, 1024, 1025, 530'000'000'000}) {
    const LaunchPlan plan = plan_elements(count, 4);
    expect_legal(plan);
    EXPECT_GE(plan.blocks_x * plan.threads * 4, count);
    EXPECT_LT((plan.blocks_x - 1) * plan.threads * 4, count);
  }
}

TEST(LaunchPlan, SumsHaveASlotPerThreadAndABoundedGrid) {
  for (const std::int64_t count : std::vector<std::int64_t>{0, 1, 300, 530'000'000'000}) {
    const LaunchPlan plan = plan_sum(count, kDevice);
    expect_legal(plan);
    EXPECT_EQ(plan.shared_bytes, static_cast<std::size_t>(plan.threads) * 8);
    EXPECT_EQ(plan.threads & (plan.threads - 1), 0) << "the block's sum halves";
    EXPECT_LE(plan.blocks_x, 8 * kDevice.multiprocessors);
  }
}

TEST(VectorWidth, NeedsEveryRowOfEveryTensorToStartOnAWholeAccess) {
  alignas(64) static std::byte memory[4096];
  const Tensor whole(memory, DType::bf16, {4, 64});
  EXPECT_EQ(vector_width(8, 64, {whole}), 8);
  EXPECT_EQ(vector_width(8, 64, {whole, Tensor{}}), 8) << "what is not there does not matter";
  EXPECT_EQ(vector_width(8, 60, {whole.column_slice(0, 60)}), 1) << "60 columns are not whole stretches of 8";
  EXPECT_EQ(vector_width(8, 56, {whole.column_slice(8, 56)}), 8) << "16 bytes in";
  EXPECT_EQ(vector_width(8, 56, {whole.column_slice(1, 56)}), 1) << "2 bytes in";
  const Tensor odd(memory, DType::bf16, {4, 65});
  EXPECT_EQ(vector_width(8, 64, {odd.column_slice(0, 64)}), 1) << "rows of 130 bytes";
  EXPECT_EQ(vector_width(8, 64, {Tensor(memory, DType::bf16, {1, 65}).column_slice(0, 64)}), 8)
      << "one row has no next one";
  EXPECT_EQ(vector_width(8, 64, {whole, odd.column_slice(0, 64)}), 1) << "one tensor is enough";
  // Four bf16 are eight bytes: half an access, aligned to its half.
  EXPECT_EQ(vector_width(4, 4, {Tensor(memory + 8, DType::bf16, {4})}), 4);
  EXPECT_EQ(vector_width(4, 4, {Tensor(memory + 4, DType::bf16, {4})}), 1);
}

}  // namespace
}  // namespace megalith::cuda
