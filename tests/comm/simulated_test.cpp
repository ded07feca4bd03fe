#include "comm/sim/simulated_communicator.h"

#include <gtest/gtest.h>

#include <vector>

#include "comm/mesh.h"

namespace megalith {
namespace {

TEST(SimulatedRanks, DoNothingAndNeverWait) {
  const auto comm = make_simulated_communicator(2, 3, "world");
  EXPECT_EQ(comm->rank(), 2);
  EXPECT_EQ(comm->size(), 3);
  std::vector<std::int64_t> values = {1, 2, 3};
  comm->wait(comm->all_reduce(values, IntegerReduction::sum));
  comm->wait(comm->receive(std::as_writable_bytes(std::span(values)), 0));
  comm->wait(comm->reduce_scatter(values, std::span(values).last(1)));
  EXPECT_EQ(values, (std::vector<std::int64_t>{1, 2, 3}));
}

// Memory that does not exist is never touched.
TEST(SimulatedRanks, TakeAddressesWithoutMemory) {
  const auto comm = make_simulated_communicator(0, 2, "world");
  const Bytes nowhere(reinterpret_cast<std::byte*>(64), 1 << 20);
  comm->wait(comm->all_gather(nowhere.first(1 << 19), nowhere));
  comm->wait(comm->all_to_all(nowhere, nowhere));
  comm->wait(comm->broadcast(nowhere, 1));
}

TEST(SimulatedRanks, StandWhereTheLayoutPutsThem) {
  const Layout layout = {.data = 3, .pipeline = 4, .tensor = 2};
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    const Mesh mesh = Mesh::simulated(layout, rank);
    EXPECT_EQ(mesh.place(), place_of(layout, rank));
    EXPECT_EQ(mesh.world().rank(), rank);
    EXPECT_EQ(mesh.world().size(), 24);
    EXPECT_EQ(mesh.tensor().size(), 2);
    EXPECT_EQ(mesh.data().rank(), mesh.place().data);
    EXPECT_EQ(mesh.pipeline().size(), 4);
    EXPECT_EQ(mesh.ends() != nullptr, mesh.first_stage() || mesh.last_stage());
  }
}

}  // namespace
}  // namespace megalith
