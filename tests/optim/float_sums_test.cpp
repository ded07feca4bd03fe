// Sums of floats over ranks: each element is added in the order of the ranks, however it is cut into chunks.

#include "optim/float_sums.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "device/cpu/cpu_device.h"
#include "device/random_tensor.h"

namespace megalith {
namespace {

using test::RandomTensor;

constexpr int kShift = 34;

// Two tensors of different lengths per rank, drawn by rank.
struct Gradients {
  Gradients(int rank, std::int64_t length)
      : first(DType::f32, 1, length, static_cast<std::uint32_t>(10 + rank)),
        second(DType::f32, 1, length / 2, static_cast<std::uint32_t>(70 + rank)) {}
  RandomTensor first, second;
};

Tensor flat(RandomTensor& values, std::int64_t length) {
  return {values.tensor().data, DType::f32, {length}};
}

struct Case {
  int ranks;
  std::int64_t length, chunk;
};

constexpr Case kCases[] = {{2, 64, 64}, {2, 64, 10}, {3, 96, 12}, {3, 96, 1000}, {5, 320, 40}};

// Calls body(rank's sums, gradients, verdict, world) on every rank.
template <class Body>
void on_ranks(const Case& c, bool to_shards, const Body& body) {
  run_ranks(c.ranks, [&](Communicator& world) {
    set_floating_point_mode();
    const auto device = cpu::make_device(1, cpu::available_isas().back());
    const FloatSums::Shape shape{
        .ranks = c.ranks, .longest = c.length, .to_shards = to_shards, .chunk = c.chunk};
    Arena arena("sums", FloatSums::bytes(shape));
    Verdict verdict;
    FloatSums sums(world, *device, arena, shape, {.shift = kShift, .verdict = &verdict});
    EXPECT_EQ(arena.peak(), arena.capacity());
    Gradients gradients(world.rank(), c.length);
    body(sums, gradients, verdict, world);
  });
}

float in_order(const std::vector<RandomTensor>& parts, std::int64_t element) {
  float sum = parts[0].at(0, element);
  for (std::size_t r = 1; r < parts.size(); ++r) sum += parts[r].at(0, element);
  return sum;
}

TEST(FloatSums, GiveEveryRankTheSumInTheOrderOfTheRanks) {
  for (const Case& c : kCases) {
    std::vector<RandomTensor> firsts, seconds;
    for (int r = 0; r < c.ranks; ++r) {
      const Gradients of_rank(r, c.length);
      firsts.push_back(of_rank.first);
      seconds.push_back(of_rank.second);
    }
    on_ranks(c, false, [&](FloatSums& sums, Gradients& mine, Verdict& verdict, Communicator&) {
      for (int again = 0; again < 2; ++again) {
        Gradients fresh = mine;
        sums.to_all(flat(fresh.first, c.length));
        if (c.length / 2 % c.ranks == 0) sums.to_all(flat(fresh.second, c.length / 2));
        sums.finish();
        for (std::int64_t i = 0; i < c.length; ++i) ASSERT_EQ(fresh.first.at(0, i), in_order(firsts, i));
        for (std::int64_t i = 0; c.length / 2 % c.ranks == 0 && i < c.length / 2; ++i)
          ASSERT_EQ(fresh.second.at(0, i), in_order(seconds, i));
        fresh.first.expect_guards_untouched();
      }
      EXPECT_FALSE(verdict.bad());
    });
  }
}

TEST(FloatSums, GiveEveryRankItsShardOfTheSum) {
  for (const Case& c : kCases) {
    std::vector<RandomTensor> firsts;
    for (int r = 0; r < c.ranks; ++r) firsts.push_back(Gradients(r, c.length).first);
    on_ranks(c, true, [&](FloatSums& sums, Gradients& mine, Verdict& verdict, Communicator& world) {
      const std::int64_t length = c.length / c.ranks;
      const std::int64_t begin = length * world.rank();
      const Tensor gradient = flat(mine.first, c.length);
      // A shard of its own, and one that is the rank's part of the gradient itself.
      RandomTensor shard(DType::f32, 1, length, 3);
      sums.to_shards(gradient, flat(shard, length));
      sums.finish();
      for (std::int64_t i = 0; i < length; ++i) ASSERT_EQ(shard.at(0, i), in_order(firsts, begin + i));
      shard.expect_guards_untouched();
      sums.to_shards(gradient, Tensor(gradient.as<float>() + begin, DType::f32, {length}));
      sums.finish();
      for (std::int64_t i = 0; i < length; ++i)
        ASSERT_EQ(mine.first.at(0, begin + i), in_order(firsts, begin + i));
      EXPECT_FALSE(verdict.bad());
    });
  }
}

TEST(FloatSums, ThatLeaveTheirRangeAreSeenByTheRankThatAdds) {
  const Case c{3, 96, 12};
  std::atomic<int> bad{0};
  on_ranks(c, false, [&](FloatSums& sums, Gradients& mine, Verdict& verdict, Communicator&) {
    mine.first.set(0, 95, 0x1p27f);  // in range on each rank, not added up
    sums.to_all(flat(mine.first, c.length));
    sums.finish();
    if (verdict.bad()) ++bad;
  });
  EXPECT_EQ(bad, 1);
}

TEST(FloatSums, NeedMemoryOfAFixedSize) {
  const auto bytes = [](std::int64_t longest, bool to_shards) {
    return FloatSums::bytes({.ranks = 4, .longest = longest, .to_shards = to_shards});
  };
  EXPECT_EQ(bytes(FloatSums::kChunk, false), 2u * FloatSums::kChunk * sizeof(float));
  EXPECT_EQ(bytes(100 * FloatSums::kChunk, false), bytes(FloatSums::kChunk, false));
  EXPECT_EQ(bytes(100 * FloatSums::kChunk, true), 2 * bytes(FloatSums::kChunk, false));
  EXPECT_LT(bytes(1000, false), 3u * 1000 * sizeof(float));
}

}  // namespace
}  // namespace megalith
