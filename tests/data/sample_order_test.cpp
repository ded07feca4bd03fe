// The order of samples: every epoch visits all of them once, in an order of its own.
#include "data/sample_order.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace megalith {
namespace {

std::vector<std::int64_t> epoch_of(const SampleOrder& order, std::int64_t count, std::int64_t epoch) {
  std::vector<std::int64_t> slots;
  for (std::int64_t i = 0; i < count; ++i) slots.push_back(order.slot(epoch * count + i));
  return slots;
}

bool is_permutation_of_all(const std::vector<std::int64_t>& slots) {
  std::vector<bool> seen(slots.size(), false);
  for (const std::int64_t slot : slots) {
    if (slot < 0 || slot >= static_cast<std::int64_t>(slots.size())) return false;
    if (seen[static_cast<std::size_t>(slot)]) return false;
    seen[static_cast<std::size_t>(slot)] = true;
  }
  return true;
}

TEST(SampleOrder, IsAPermutationForEveryCountUpTo2000) {
  for (std::int64_t count = 1; count <= 2000; ++count) {
    ASSERT_TRUE(is_permutation_of_all(epoch_of(SampleOrder(7, count), count, count % 5))) << count;
  }
}

TEST(SampleOrder, IsAnotherInEveryEpochAndForEverySeed) {
  std::set<std::vector<std::int64_t>> orders;
  for (std::int64_t epoch = 0; epoch < 50; ++epoch)
    orders.insert(epoch_of(SampleOrder(1, 1000), 1000, epoch));
  for (std::uint64_t seed = 2; seed < 52; ++seed) orders.insert(epoch_of(SampleOrder(seed, 1000), 1000, 0));
  EXPECT_EQ(orders.size(), 100u);
}

// The first slot of many epochs, counted: each of 16 within 6 standard deviations of its share.
TEST(SampleOrder, PutsEverySampleFirstAboutEquallyOften) {
  constexpr std::int64_t kEpochs = 16000;
  std::vector<int> count(16);
  const SampleOrder order(3, 16);
  for (std::int64_t epoch = 0; epoch < kEpochs; ++epoch)
    ++count[static_cast<std::size_t>(order.slot(epoch * 16))];
  for (const int n : count) EXPECT_NEAR(n, 1000, 6 * 31);
}

TEST(SampleOrder, TakesTheLargestCounts) {
  for (const std::int64_t count : {std::int64_t{1} << 40, std::int64_t{0x7fffffffffffffff}}) {
    const SampleOrder order(5, count);
    std::set<std::int64_t> slots;
    for (std::int64_t i = 0; i < 100; ++i) slots.insert(order.slot(i));
    EXPECT_EQ(slots.size(), 100u);
    EXPECT_GE(*slots.begin(), 0);
    EXPECT_LT(*slots.rbegin(), count);
  }
}

}  // namespace
}  // namespace megalith
