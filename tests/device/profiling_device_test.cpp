// The profiling device: results of the device inside it, and what a log says of its operations.

#include "device/profile/profiling_device.h"

#include <gtest/gtest.h>

#include "device/cpu/cpu_device.h"
#include "device/profile/roofline.h"
#include "device/random_tensor.h"
#include "device/sim/simulated_device.h"

namespace megalith::profile {
namespace {

using namespace std::chrono_literals;
using test::RandomTensor;

TEST(ProfilingDevice, GivesTheBitsOfTheDeviceInside) {
  const std::unique_ptr<Device> inner = cpu::make_device(2, cpu::available_isas().back());
  OperationLog log(0);
  const std::unique_ptr<Device> outer = make_profiling_device(*inner, log);
  RandomTensor x(DType::bf16, 8, 64, 1);
  RandomTensor w(DType::bf16, 32, 64, 2);
  std::vector<float> plain(8 * 32), profiled(8 * 32);
  inner->matmul().forward({.x = x.tensor(), .w = w.tensor(), .y = {plain.data(), DType::f32, {8, 32}}});
  outer->matmul().forward({.x = x.tensor(), .w = w.tensor(), .y = {profiled.data(), DType::f32, {8, 32}}});
  EXPECT_EQ(plain, profiled);
  EXPECT_EQ(outer->description(), inner->description());
  EXPECT_EQ(outer->num_threads(), 2);
}

TEST(ProfilingDevice, LogsWhatTheSimulatedDeviceCounts) {
  const std::unique_ptr<sim::SimulatedDevice> simulated = sim::make_device();
  OperationLog log(16);
  const std::unique_ptr<Device> outer = make_profiling_device(*simulated, log);
  RandomTensor a(DType::f32, 6, 10, 1);
  RandomTensor b(DType::f32, 6, 10, 2);
  const Tensor count(a.tensor().data, DType::f32, {60});
  outer->matmul().forward({.x = a.tensor(), .w = b.tensor(), .y = Tensor(&log, DType::f32, {6, 6})});
  outer->elementwise().forward(NormForward{.x = a.tensor(), .y = b.tensor()});
  outer->optimizer().cast({.from = a.tensor(), .to = b.tensor()});
  outer->optimizer().zero(count);
  outer->optimizer().digest(count, 0);
  outer->optimizer().all_finite(a.tensor());
  outer->loss().sum({.log_probability = count});
  outer->loss().partial({.logits = a.tensor(), .partial = b.tensor().column_slice(0, 3)});
  outer->loss().join({.partials = Tensor(&log, DType::f32, {2, 6, 3}), .log_sum_exp = count});
  const Tensor parts(&log, DType::f32, {2, 6, 5});
  outer->shards().sum({.parts = parts, .y = a.tensor().column_slice(0, 5)});
  outer->shards().lookup({.table = a.tensor(), .y = b.tensor()});
  outer->shards().select({.parts = parts, .y = b.tensor()});
  outer->shards().join({.pieces = parts, .whole = a.tensor()});
  const std::int32_t slots[] = {0, 0};
  const std::int32_t positions[] = {3, 4};
  const Tensor cache(&log, DType::f32, {1, 8, 10});
  const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_size = 10};
  const Tensor two = a.tensor().row_slice(0, 2);
  outer->attention().append({.rows = 2,
                             .k = two,
                             .v = two,
                             .k_cache = cache,
                             .v_cache = cache,
                             .slot = slots,
                             .position = positions});
  outer->attention().cached({.shape = shape,
                             .rows = 2,
                             .q = two,
                             .k_cache = cache,
                             .v_cache = cache,
                             .slot = slots,
                             .position = positions,
                             .out = two});
  Cost sum;
  for (const OperationTotal& total : log.totals()) {
    EXPECT_EQ(total.calls, 1) << total.label.name;
    EXPECT_GT(total.cost.bytes, 0) << total.label.name;
    sum.flops += total.cost.flops;
    sum.bytes += total.cost.bytes;
  }
  EXPECT_EQ(log.totals().size(), 15u);
  EXPECT_EQ(log.spans().size(), 15u);
  EXPECT_EQ(sum.flops, simulated->total().flops);
  EXPECT_EQ(sum.bytes, simulated->total().bytes);
}

TEST(CachedAttentionCost, ReadsTheKeysOfASlotOnceForNeighbouringRows) {
  const auto cost = [](std::vector<std::int32_t> slots, std::vector<std::int32_t> positions,
                       std::int64_t window) {
    const auto rows = static_cast<std::int64_t>(slots.size());
    const Tensor row(&slots, DType::bf16, {rows, 16});
    const Tensor cache(&slots, DType::bf16, {4, 100, 8});
    return cost_of(CachedAttention{.shape = {.heads = 2, .kv_heads = 1, .head_size = 8, .window = window},
                                   .rows = rows,
                                   .q = row,
                                   .k_cache = cache,
                                   .v_cache = cache,
                                   .slot = slots.data(),
                                   .position = positions.data(),
                                   .out = row});
  };
  const double key = 2 * 2 * 8;   // bytes of a key and its value
  const double row = 2 * 2 * 16;  // of a query and its result
  const double pair = 4 * 2 * 8;  // FLOPs of a query and a key, all heads
  EXPECT_EQ(cost({0}, {9}, 0).bytes, row + 10 * key);
  EXPECT_EQ(cost({0}, {9}, 0).flops, 10 * pair);
  EXPECT_EQ(cost({0, 0, 0}, {7, 8, 9}, 0).bytes, 3 * row + 10 * key);
  EXPECT_EQ(cost({0, 0, 0}, {7, 8, 9}, 0).flops, (8 + 9 + 10) * pair);
  EXPECT_EQ(cost({0, 1}, {9, 9}, 0).bytes, 2 * row + 20 * key);
  EXPECT_EQ(cost({0, 0}, {8, 9}, 4).bytes, 2 * row + 5 * key);
  EXPECT_EQ(cost({0, 0}, {8, 9}, 4).flops, 8 * pair);
}

TEST(OperationLog, SumsPerNameTypeAndShape) {
  OperationLog log(2);
  const Clock::time_point start{};
  const OperationLabel small{.name = "a", .sizes = {4, 8}};
  const OperationLabel large{.name = "a", .sizes = {8, 8}};
  log.record(small, {.flops = 1, .bytes = 2}, start, start + 5ms);
  log.record(large, {.flops = 3, .bytes = 4}, start + 5ms, start + 6ms);
  log.record(small, {.flops = 1, .bytes = 2}, start + 6ms, start + 8ms);
  log.count(false);
  log.record(small, {.flops = 1, .bytes = 2}, start + 8ms, start + 9ms);
  const std::vector<OperationTotal> totals = log.totals();
  ASSERT_EQ(totals.size(), 2u);
  EXPECT_EQ(totals[0].label, small);
  EXPECT_EQ(totals[0].calls, 2);
  EXPECT_EQ(totals[0].time, Clock::duration(7ms));
  EXPECT_EQ(totals[0].cost.bytes, 4);
  EXPECT_EQ(totals[1].calls, 1);
  ASSERT_EQ(log.spans().size(), 2u);  // the newest two, counted or not
  EXPECT_EQ(log.spans()[0].begin, start + 6ms);
  EXPECT_EQ(log.spans()[1].begin, start + 8ms);
}

TEST(OperationLog, HasRoomForManyKindsAndKeepsTheSumOfTheRest) {
  OperationLog log(0);
  const Clock::time_point start{};
  const auto kinds = static_cast<std::int64_t>(OperationLog::kMostKinds) + 100;
  for (int round = 0; round < 2; ++round) {
    for (std::int64_t size = 1; size <= kinds; ++size)
      log.record({.name = "a", .sizes = {size}}, {}, start, start + 1us);
  }
  const std::vector<OperationTotal> totals = log.totals();
  ASSERT_EQ(totals.size(), OperationLog::kMostKinds + 1);
  EXPECT_EQ(totals[7].calls, 2);
  EXPECT_STREQ(totals.back().label.name, "others");
  EXPECT_EQ(totals.back().calls, 200);
  EXPECT_EQ(totals.back().time, Clock::duration(200us));
}

TEST(Roofline, TakesTheNarrowerOfTheTwoCeilings) {
  const Ceilings ceilings{.bf16_flops = 200, .f32_flops = 100, .bandwidth = 10};
  const auto share = [&](DType arithmetic, double flops, double bytes) {
    return roofline_share({.label = {.name = "a", .arithmetic = arithmetic},
                           .calls = 1,
                           .time = 10s,
                           .cost = {.flops = flops, .bytes = bytes}},
                          ceilings);
  };
  EXPECT_EQ(share(DType::bf16, 1000, 10).share, 0.5);
  EXPECT_FALSE(share(DType::bf16, 1000, 10).by_memory);
  EXPECT_EQ(share(DType::f32, 500, 10).share, 0.5);
  EXPECT_EQ(share(DType::f32, 500, 80).share, 0.8);
  EXPECT_TRUE(share(DType::f32, 500, 80).by_memory);
  EXPECT_EQ(share(DType::f32, 0, 0).share, 0);
}

}  // namespace
}  // namespace megalith::profile
