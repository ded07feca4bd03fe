#include "comm/exchange.h"

#include <gtest/gtest.h>

#include "comm/threads/threads.h"

namespace megalith {
namespace {

TEST(Exchange, TellsEveryRankWhatEachSays) {
  for (const int size : {1, 2, 5}) {
    run_ranks(size, [&](Communicator& world) {
      const int rank = world.rank();
      EXPECT_EQ(union_of(world, std::int64_t{1} << rank), (std::int64_t{1} << size) - 1);
      const std::vector<std::int64_t> numbers = numbers_of(world, 10 * rank);
      const std::vector<std::string> texts =
          texts_of(world, std::string(static_cast<std::size_t>(rank), 'x'));
      for (int other = 0; other < size; ++other) {
        EXPECT_EQ(numbers[static_cast<std::size_t>(other)], 10 * other);
        EXPECT_EQ(texts[static_cast<std::size_t>(other)].size(), static_cast<std::size_t>(other));
      }
      EXPECT_EQ(number_from(world, rank + 7), 7);
      EXPECT_EQ(text_from(world, rank == size - 1 ? "last" : "", size - 1), "last");
    });
  }
}

}  // namespace
}  // namespace megalith
