#include "comm/threads/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "comm/conformance.h"
#include "core/floating_point_mode.h"

namespace megalith {
namespace {

class ThreadRanks : public testing::TestWithParam<ConformanceCase> {};

TEST_P(ThreadRanks, Conform) {
  for (int size = 1; size <= 8; ++size) {
    SCOPED_TRACE(size);
    EXPECT_NO_THROW(run_ranks(size, GetParam().body));
  }
}
INSTANTIATE_TEST_SUITE_P(All, ThreadRanks, testing::ValuesIn(conformance_cases()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Threads, EveryRankRunsOnceAndFlushesDenormals) {
  std::vector<std::atomic<int>> hits(24);
  run_ranks(24, [&](Communicator& world) {
    EXPECT_EQ(world.size(), 24);
    EXPECT_TRUE(floating_point_mode_is_set());
    hits[static_cast<std::size_t>(world.rank())] += 1;
  });
  for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
}

TEST(Threads, MeshesOfUpTo24RanksHaveTheRightGroups) {
  for (const ConformanceCase& one : conformance_cases()) {
    if (std::string(one.name).find("Meshes") == std::string::npos) continue;
    for (const int size : {12, 16, 24}) run_ranks(size, one.body);
  }
}

TEST(Threads, APostNeverWaitsHoweverManyAreUnderWay) {
  run_ranks(2, [](Communicator& world) {
    constexpr int kOperations = 1000;
    std::vector<std::int64_t> values(kOperations, world.rank() + 1);
    std::vector<Communicator::Request> requests;
    std::byte token{};
    // Rank 1 begins only when rank 0 has posted everything.
    if (world.rank() == 1) world.wait(world.receive(Bytes(&token, 1), 0));
    for (std::int64_t& value : values) {
      requests.push_back(world.all_reduce(std::span(&value, 1), IntegerReduction::sum));
    }
    if (world.rank() == 0) world.wait(world.send(ConstBytes(&token, 1), 1));
    for (const auto request : requests) world.wait(request);
    for (const std::int64_t value : values) EXPECT_EQ(value, 3);
  });
}

// Two ranks that wait for each other's later posts would stop each other if a copy needed both to wait.
TEST(Threads, OneMayWaitForTheSecondWhileTheOtherWaitsForTheFirst) {
  run_ranks(2, [](Communicator& world) {
    for (int round = 0; round < 200; ++round) {
      std::int64_t first = round;
      std::vector<std::int64_t> second(50000, round);
      const auto a = world.all_reduce(std::span(&first, 1), IntegerReduction::sum);
      const auto b = world.all_reduce(second, IntegerReduction::sum);
      world.wait(world.rank() == 0 ? a : b);
      world.wait(world.rank() == 0 ? b : a);
      EXPECT_EQ(first, 2 * round);
      EXPECT_EQ(second.back(), 2 * round);
    }
  });
}

TEST(Threads, AnOperationWithNobodyToMeetWaits) {
  std::atomic<bool> posted{false};
  run_ranks(2, [&](Communicator& world) {
    std::int64_t value = 1;
    if (world.rank() == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      posted = true;
    }
    world.wait(world.all_reduce(std::span(&value, 1), IntegerReduction::sum));
    EXPECT_TRUE(posted);
  });
}

// Each makes a rank of a world of three wait for rank 1, which does not come.
struct Wait {
  const char* name;
  std::function<void(Communicator&)> body;
};

std::vector<Wait> waits() {
  static std::byte one[3];
  static std::byte three[3];
  const auto mine = [](Communicator& world) {
    return Bytes(one).subspan(static_cast<std::size_t>(world.rank()), 1);
  };
  return {
      {"all_gather",
       [=](Communicator& world) {
         std::vector<std::byte> all(3);
         world.wait(world.all_gather(mine(world), all));
       }},
      {"all_to_all",
       [](Communicator& world) {
         const std::vector<std::byte> from(3000000);
         std::vector<std::byte> to(from.size());
         world.wait(world.all_to_all(from, to));
       }},
      {"broadcast",
       [](Communicator& world) {
         std::vector<std::byte> data(5);
         world.wait(world.broadcast(data, 1));
       }},
      {"all_reduce",
       [](Communicator& world) {
         std::vector<std::int64_t> data(5);
         world.wait(world.all_reduce(data, IntegerReduction::maximum));
       }},
      {"reduce_scatter",
       [](Communicator& world) {
         const std::vector<std::int64_t> all(300000);
         std::vector<std::int64_t> part(100000);
         world.wait(world.reduce_scatter(all, part));
       }},
      {"send", [](Communicator& world) { world.wait(world.send(Bytes(three).first(1), 1)); }},
      {"receive",
       [](Communicator& world) {
         std::vector<std::byte> data(1);
         world.wait(world.receive(data, 1));
       }},
      {"split", [](Communicator& world) { world.split(0, 0, "all"); }},
  };
}

// The exception that every other rank must get.
void expect_peer_failed(const std::function<void()>& action, const std::string& what) {
  try {
    action();
    ADD_FAILURE() << "nothing thrown";
  } catch (const PeerFailed& failure) {
    EXPECT_NE(std::string(failure.what()).find(what), std::string::npos) << failure.what();
    throw;
  }
}

TEST(Threads, ARankThatThrowsEndsEveryKindOfWait) {
  for (const Wait& wait : waits()) {
    SCOPED_TRACE(wait.name);
    try {
      run_ranks(3, [&](Communicator& world) {
        if (world.rank() == 1) throw std::runtime_error("the disk is full");
        expect_peer_failed([&] { wait.body(world); }, "rank 1 failed: the disk is full");
      });
      ADD_FAILURE() << "nothing thrown";
    } catch (const PeerFailed& failure) {
      ADD_FAILURE() << "the others' exception: " << failure.what();
    } catch (const std::runtime_error& failure) {
      EXPECT_STREQ(failure.what(), "the disk is full");
    }
  }
}

TEST(Threads, ARankThatReturnsEarlyEndsEveryKindOfWait) {
  for (const Wait& wait : waits()) {
    SCOPED_TRACE(wait.name);
    EXPECT_THROW(run_ranks(3,
                           [&](Communicator& world) {
                             if (world.rank() == 1) return;
                             expect_peer_failed([&] { wait.body(world); }, "rank 1 ended");
                           }),
                 PeerFailed);
  }
}

TEST(Threads, ARankMayReturnWhenNobodyCountsOnIt) {
  run_ranks(3, [](Communicator& world) {
    std::int64_t value = 1;
    world.wait(world.all_reduce(std::span(&value, 1), IntegerReduction::sum));
    std::byte token{};
    if (world.rank() == 0) world.wait(world.send(ConstBytes(&token, 1), 2));
    if (world.rank() == 2) world.wait(world.receive(Bytes(&token, 1), 0));
  });
}

TEST(Threads, AFailureInsideASplitNamesTheRankInTheWorld) {
  EXPECT_THROW(
      run_ranks(4,
                [](Communicator& world) {
                  const auto half = world.split(world.rank() / 2, 0, "half");
                  if (world.rank() == 3) return;
                  std::int64_t value = 1;
                  if (world.rank() == 2) {
                    expect_peer_failed(
                        [&] { half->wait(half->all_reduce(std::span(&value, 1), IntegerReduction::sum)); },
                        "rank 3 ended");
                  }
                }),
      PeerFailed);
}

TEST(Threads, RanksThatWaitForEachOtherAreToldWhoWaitsForWhom) {
  for (int round = 0; round < 20; ++round) {
    EXPECT_THROW(run_ranks(4,
                           [](Communicator& world) {
                             if (world.rank() == 3) return;  // nobody counts on it
                             std::byte token{};
                             expect_peer_failed(
                                 [&] { world.wait(world.receive(Bytes(&token, 1), (world.rank() + 1) % 3)); },
                                 "all ranks wait for each other: rank 0 for rank 1 (a message, world); "
                                 "rank 1 for rank 2 (a message, world); rank 2 for rank 0");
                           }),
                 PeerFailed);
  }
}

// Buffers of a rank that fails go with its stack: whoever copies must have stopped by then (address
// sanitizer).
TEST(Threads, FailuresInTheMiddleOfLargeOperationsTouchNothingAfterwards) {
  for (int round = 0; round < 30; ++round) {
    EXPECT_THROW(run_ranks(3,
                           [&](Communicator& world) {
                             const std::vector<std::byte> from(3'000'000);
                             std::vector<std::byte> to(from.size());
                             const auto local = world.split(0, world.rank(), "local");
                             for (int i = 0;; ++i) {
                               const auto request = local->all_to_all(from, to);
                               if (i == 3 && world.rank() == round % 3) throw std::runtime_error("gone");
                               local->wait(request);
                             }
                           }),
                 std::runtime_error);
  }
}

}  // namespace
}  // namespace megalith
