#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "comm/flight/ring_format.h"
#include "comm/flight/ring_reader.h"
#include "comm/flight/ring_writer.h"
#include "comm/threads/threads.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

class Ring : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("megalith_ring_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] std::string content(int rank) const {
    std::ifstream file(ring_path(folder_, rank), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  fs::path folder_;
};

TEST_F(Ring, TellsWhatEachRankDidLast) {
  run_ranks(2, [&](Communicator& world) {
    RingWriter writer(ring_path(folder_, world.rank()), world.rank(), world.size());
    const auto observed = observe(world, writer);
    std::vector<std::int64_t> values(10);
    const Bytes bytes = std::as_writable_bytes(std::span(values));
    observed->wait(observed->all_reduce(values, IntegerReduction::sum));
    observed->wait(world.rank() == 0 ? observed->send(bytes, 1) : observed->receive(bytes, 0));
    const auto pair = observed->split(0, 0, "pair");
    const auto under_way = pair->broadcast(bytes, 1);
    if (world.rank() == 0) {
      const auto rings = read_rings(folder_);
      ASSERT_TRUE(rings);
      EXPECT_EQ(rings->front().last.back().left, 0);  // not waited for yet
      EXPECT_NE(to_text(*rings, 10).find("under way"), std::string::npos);
    }
    pair->wait(under_way);
  });
  const auto rings = read_rings(folder_);
  ASSERT_TRUE(rings);
  ASSERT_EQ(rings->size(), 2u);
  for (int rank = 0; rank < 2; ++rank) {
    const RankRing& ring = (*rings)[static_cast<std::size_t>(rank)];
    EXPECT_EQ(ring.rank, rank);
    EXPECT_EQ(ring.process, getpid());
    ASSERT_EQ(ring.last.size(), 3u);
    EXPECT_EQ(ring.last[0].group, "world");
    EXPECT_EQ(ring.last[0].kind, OperationKind::all_reduce);
    EXPECT_EQ(ring.last[0].bytes, 80u);
    EXPECT_EQ(ring.last[1].kind, rank == 0 ? OperationKind::send : OperationKind::receive);
    EXPECT_EQ(ring.last[1].peer, 1 - rank);
    EXPECT_EQ(ring.last[2].group, "pair");
    EXPECT_GE(ring.last[2].waiting, ring.last[2].entered);
    EXPECT_GE(ring.last[2].left, ring.last[2].waiting);
  }
}

TEST_F(Ring, HoldsTheLastOperationsOfMany) {
  run_ranks(1, [&](Communicator& world) {
    RingWriter writer(ring_path(folder_, 0), 0, 1);
    const auto observed = observe(world, writer);
    std::int64_t value = 0;
    for (int i = 0; i < 3000; ++i) {
      observed->wait(observed->all_reduce(std::span(&value, 1), IntegerReduction::sum));
    }
  });
  const auto rings = read_rings(folder_);
  ASSERT_TRUE(rings);
  EXPECT_EQ(rings->front().entered, 3000u);
  ASSERT_EQ(rings->front().last.size(), kRingCapacity);
  EXPECT_EQ(rings->front().last.back().number, 2999u);
  EXPECT_EQ(rings->front().last.front().number, 3000 - kRingCapacity);
}

TEST_F(Ring, OutlivesAProcessThatIsKilled) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    RingWriter writer(ring_path(folder_, 0), 0, 1);
    const auto self = make_self_communicator("alone");
    const auto observed = observe(*self, writer);
    std::int64_t value = 0;
    observed->all_reduce(std::span(&value, 1), IntegerReduction::sum);
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto rings = read_rings(folder_);
  ASSERT_TRUE(rings);
  EXPECT_EQ(rings->front().process, child);
  ASSERT_EQ(rings->front().last.size(), 1u);
  EXPECT_EQ(rings->front().last[0].group, "alone");
  EXPECT_EQ(rings->front().last[0].left, 0);
}

TEST_F(Ring, RefusesWhatNoRankWrote) {
  { RingWriter writer(ring_path(folder_, 0), 0, 1); }
  const std::string good = content(0);
  const auto refused = [](std::string bytes) {
    return !parse_ring(std::as_bytes(std::span(bytes)), "x.ring").has_value();
  };
  EXPECT_FALSE(refused(good));
  EXPECT_TRUE(refused(""));
  EXPECT_TRUE(refused(good.substr(0, 5000)));
  EXPECT_TRUE(refused("x" + good.substr(1)));
  std::string other = good;
  other[8] = 7;  // places
  EXPECT_TRUE(refused(other));
  other = good;
  other[16] = 1;  // rank 1 of 1
  EXPECT_TRUE(refused(other));
  EXPECT_FALSE(read_rings(folder_ / "nothing"));
}

// Whatever stands in the records is shown or skipped, never followed.
TEST_F(Ring, ShowsRecordsOfNonsenseWithoutHarm) {
  { RingWriter writer(ring_path(folder_, 0), 0, 1); }
  std::string bytes = content(0);
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(kRingHeaderBytes), bytes.end(), '\xff');
  const std::uint64_t entered = ~std::uint64_t{0};
  std::memcpy(bytes.data() + offsetof(RingHeader, entered), &entered, sizeof(entered));
  const auto ring = parse_ring(std::as_bytes(std::span(bytes)), "x.ring");
  ASSERT_TRUE(ring);
  EXPECT_FALSE(to_text({*ring}, 5000).empty());
}

}  // namespace
}  // namespace megalith
