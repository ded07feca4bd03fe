// The emulated GPU itself: what it computes, and the mistakes it does not let pass.

#include "device/cuda/emulated_machine.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace megalith::test {
namespace {

using Machine = EmulatedMachine;

TEST(EmulatedMachine, RunsEveryThreadOfEveryBlockOnce) {
  std::vector<int> seen(2 * 3 * 4 * 64);
  run_emulated({.blocks_x = 2, .blocks_y = 3, .blocks_z = 4, .threads = 64}, [&] {
    const std::int64_t block = (Machine::block_z() * 3 + Machine::block_y()) * 2 + Machine::block_x();
    ++seen[static_cast<std::size_t>(block * 64 + Machine::thread())];
  });
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
}

TEST(EmulatedMachine, ShufflesWithinGroups) {
  std::vector<float> got(64);
  run_emulated({.threads = 64}, [&] {
    got[static_cast<std::size_t>(Machine::thread())] =
        Machine::from_lane_xor(static_cast<float>(Machine::thread()), 5);
  });
  for (std::size_t t = 0; t < 64; ++t) EXPECT_EQ(got[t], static_cast<float>(t ^ 5u));
}

TEST(EmulatedMachine, ABarrierOrdersSharedMemory) {
  std::vector<float> got(64);
  const auto reverse = [&](bool with_barrier) {
    run_emulated({.threads = 64, .shared_bytes = 256}, [&] {
      auto* shared = reinterpret_cast<float*>(Machine::shared_memory());
      const int thread = Machine::thread();
      shared[thread] = static_cast<float>(thread);
      if (with_barrier) Machine::sync();
      got[static_cast<std::size_t>(thread)] = shared[63 - thread];
    });
  };
  reverse(true);
  EXPECT_EQ(got[0], 63.0f);
  reverse(false);
  EXPECT_TRUE(got[0] != got[0]) << "a forgotten barrier reads NaN";
}

TEST(EmulatedMachine, ABarrierThatNotAllReachIsAnError) {
  EXPECT_THROW(run_emulated({.threads = 32},
                            [] {
                              if (Machine::thread() != 3) Machine::sync();
                            }),
               std::logic_error);
}

TEST(EmulatedMachine, ACopyArrivesOnlyWhenItIsWaitedFor) {
  alignas(16) float from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  float early = 0;
  float first = 0;
  float second = 0;
  run_emulated({.threads = 1, .shared_bytes = 64}, [&] {
    auto* shared = reinterpret_cast<float*>(Machine::shared_memory());
    Machine::copy_async16(shared, from);
    Machine::commit_copies();
    Machine::copy_async16(shared + 4, from + 4);
    Machine::commit_copies();
    early = shared[0];
    Machine::wait_copies<1>();
    first = shared[0];
    second = shared[4];
  });
  EXPECT_TRUE(early != early);
  EXPECT_EQ(first, 1.0f);
  EXPECT_TRUE(second != second) << "one group may still be under way";
}

TEST(EmulatedMachine, AMisalignedCopyIsAnError) {
  alignas(16) bf16 from[16] = {};
  EXPECT_THROW(run_emulated({.threads = 1, .shared_bytes = 64},
                            [&] { Machine::copy_async16(Machine::shared_memory(), from + 1); }),
               std::logic_error);
}

// The example of the PTX ISA: rows of A by ldmatrix, rows of B^T by ldmatrix, sums in the accumulator's
// layout.
TEST(EmulatedMachine, MatricesMultiply) {
  float product[16][8] = {};
  run_emulated({.threads = 32, .shared_bytes = 1024}, [&] {
    auto* a = reinterpret_cast<bf16*>(Machine::shared_memory());  // [16][16]
    bf16* b = a + 256;                                            // [16][16], rows are columns of the result
    const int lane = Machine::thread();
    for (int i = lane; i < 256; i += 32) {
      a[i] = to_bf16(static_cast<float>(i % 7 - 3));
      b[i] = to_bf16(static_cast<float>(i % 5 - 2));
    }
    Machine::sync();
    std::uint32_t left[4];
    std::uint32_t right[4];
    Machine::load_matrices<false>(left, a + (lane % 16) * 16 + lane / 16 * 8);
    Machine::load_matrices<false>(right, b + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8);
    float c[4] = {};
    Machine::multiply_add(c, left, right[0], right[1]);
    for (int e = 0; e < 4; ++e) product[lane / 4 + e / 2 * 8][lane % 4 * 2 + e % 2] = c[e];
  });
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      int expected = 0;
      for (int k = 0; k < 16; ++k) expected += ((i * 16 + k) % 7 - 3) * ((j * 16 + k) % 5 - 2);
      EXPECT_EQ(product[i][j], static_cast<float>(expected)) << i << "," << j;
    }
  }
}

}  // namespace
}  // namespace megalith::test
