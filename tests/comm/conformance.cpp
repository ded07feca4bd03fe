#include "comm/conformance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "comm/mesh.h"

namespace megalith {
namespace {

using Buffer = std::vector<std::byte>;
using Integers = std::vector<std::int64_t>;

constexpr std::size_t kSizes[] = {0, 1, 3, 7, 64, 1001, 4097, 140001};

void require(bool condition, const std::string& what) {
  if (!condition) throw std::logic_error(what);
}

// The bytes that `from` has for `to` in the exchange called `salt`.
Buffer message(int from, int to, std::size_t bytes, int salt) {
  std::uint64_t state =
      0x9E3779B97F4A7C15ULL * static_cast<std::uint64_t>(1 + from + 1000 * to + 1000000 * salt);
  Buffer buffer(bytes);
  for (std::size_t i = 0; i < bytes; i += sizeof(state)) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(buffer.data() + i, &state, std::min(sizeof(state), bytes - i));
  }
  return buffer;
}

Integers integers(int rank, std::size_t count, int salt) {
  const Buffer bytes = message(rank, 999, count * sizeof(std::int64_t), salt);
  Integers values(count);
  if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

void append(Buffer& to, const Buffer& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void check_all_gather(Communicator& comm, std::size_t bytes, int salt) {
  Buffer expected;
  for (int rank = 0; rank < comm.size(); ++rank) append(expected, message(rank, 0, bytes, salt));
  const Buffer mine = message(comm.rank(), 0, bytes, salt);
  Buffer all(expected.size());
  comm.wait(comm.all_gather(mine, all));
  require(all == expected, fmt::format("all_gather of {} bytes", bytes));
  Buffer in_place(expected.size());
  const Bytes place = Bytes(in_place).subspan(static_cast<std::size_t>(comm.rank()) * bytes, bytes);
  std::copy(mine.begin(), mine.end(), place.begin());
  comm.wait(comm.all_gather(place, in_place));
  require(in_place == expected, fmt::format("all_gather of {} bytes in place", bytes));
}

void check_all_to_all(Communicator& comm, std::size_t bytes, int salt) {
  Buffer from;
  Buffer expected;
  for (int rank = 0; rank < comm.size(); ++rank) {
    append(from, message(comm.rank(), rank, bytes, salt));
    append(expected, message(rank, comm.rank(), bytes, salt));
  }
  Buffer to(from.size());
  comm.wait(comm.all_to_all(from, to));
  require(to == expected, fmt::format("all_to_all of {} bytes", bytes));
}

void check_broadcast(Communicator& comm, std::size_t bytes, int salt) {
  for (int root = 0; root < comm.size(); ++root) {
    Buffer data = message(comm.rank(), 0, bytes, salt);
    comm.wait(comm.broadcast(data, root));
    require(data == message(root, 0, bytes, salt), fmt::format("broadcast of {} bytes from {}", bytes, root));
  }
}

std::int64_t combine(std::int64_t a, std::int64_t b, IntegerReduction reduction) {
  switch (reduction) {
    case IntegerReduction::sum:
      return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    case IntegerReduction::maximum:
      return std::max(a, b);
    case IntegerReduction::bit_or:
      return a | b;
  }
  return 0;
}

Integers reduced(int size, std::size_t count, int salt, IntegerReduction reduction) {
  Integers sum = integers(0, count, salt);
  for (int rank = 1; rank < size; ++rank) {
    const Integers values = integers(rank, count, salt);
    for (std::size_t i = 0; i < count; ++i) sum[i] = combine(sum[i], values[i], reduction);
  }
  return sum;
}

void check_all_reduce(Communicator& comm, std::size_t count, int salt) {
  for (const auto reduction : {IntegerReduction::sum, IntegerReduction::maximum, IntegerReduction::bit_or}) {
    Integers values = integers(comm.rank(), count, salt);
    comm.wait(comm.all_reduce(values, reduction));
    require(values == reduced(comm.size(), count, salt, reduction),
            fmt::format("all_reduce {} of {} integers", static_cast<int>(reduction), count));
  }
}

void check_reduce_scatter(Communicator& comm, std::size_t count, int salt) {
  const std::size_t all_count = count * static_cast<std::size_t>(comm.size());
  const Integers sum = reduced(comm.size(), all_count, salt, IntegerReduction::sum);
  const std::size_t begin = static_cast<std::size_t>(comm.rank()) * count;
  const Integers expected(sum.begin() + static_cast<std::ptrdiff_t>(begin),
                          sum.begin() + static_cast<std::ptrdiff_t>(begin + count));
  Integers all = integers(comm.rank(), all_count, salt);
  Integers mine(count);
  comm.wait(comm.reduce_scatter(all, mine));
  require(mine == expected, fmt::format("reduce_scatter of {} integers", count));
  const auto place = std::span(all).subspan(begin, count);
  comm.wait(comm.reduce_scatter(all, place));
  require(std::equal(place.begin(), place.end(), expected.begin()),
          fmt::format("reduce_scatter of {} integers in place", count));
}

void check_everything(Communicator& comm, std::size_t bytes, int salt) {
  check_all_gather(comm, bytes, salt);
  check_all_to_all(comm, bytes, salt);
  check_broadcast(comm, bytes, salt);
  check_all_reduce(comm, bytes / 8, salt);
  check_reduce_scatter(comm, bytes / 8, salt);
}

void collectives_equal_a_plain_reference(Communicator& world) {
  for (const std::size_t bytes : kSizes) check_everything(world, bytes, 1);
}

// An exchange under way: its buffers, and what must have arrived when it is over.
struct UnderWay {
  Communicator::Request request;
  Buffer from, to, expected;
};

UnderWay begin_all_to_all(Communicator& world, std::size_t bytes, int salt) {
  UnderWay exchange;
  for (int rank = 0; rank < world.size(); ++rank) {
    append(exchange.from, message(world.rank(), rank, bytes, salt));
    append(exchange.expected, message(rank, world.rank(), bytes, salt));
  }
  exchange.to.resize(exchange.from.size());
  exchange.request = world.all_to_all(exchange.from, exchange.to);
  return exchange;
}

void operations_under_way_are_waited_for_in_any_order(Communicator& world) {
  for (int round = 0; round < 5; ++round) {
    std::vector<UnderWay> exchanges;
    exchanges.reserve(40);
    for (int i = 0; i < 40; ++i) {
      const std::size_t bytes = kSizes[static_cast<std::size_t>(i + round) % std::size(kSizes)] / 3;
      exchanges.push_back(begin_all_to_all(world, bytes, 100 * round + i));
    }
    std::shuffle(exchanges.begin(), exchanges.end(),
                 std::minstd_rand(static_cast<unsigned>(1 + world.rank())));
    for (UnderWay& exchange : exchanges) {
      world.wait(exchange.request);
      require(exchange.to == exchange.expected, "an exchange among many");
    }
  }
}

void messages_that_cross_arrive_in_the_order_sent(Communicator& world) {
  constexpr int kMessages = 5;
  std::vector<UnderWay> receives;
  std::vector<UnderWay> sends;
  for (int i = 0; i < kMessages; ++i) {
    for (int rank = 0; rank < world.size(); ++rank) {
      if (rank == world.rank()) continue;
      const std::size_t bytes = kSizes[static_cast<std::size_t>(i + rank + world.rank()) % std::size(kSizes)];
      UnderWay& send = sends.emplace_back();
      send.from = message(world.rank(), rank, bytes, i);
      send.request = world.send(send.from, rank);
      UnderWay& receive = receives.emplace_back();
      receive.to.resize(bytes);
      receive.expected = message(rank, world.rank(), bytes, i);
      receive.request = world.receive(receive.to, rank);
    }
  }
  std::reverse(receives.begin(), receives.end());
  for (UnderWay& receive : receives) {
    world.wait(receive.request);
    require(receive.to == receive.expected, "a message that crossed others");
  }
  for (UnderWay& send : sends) world.wait(send.request);
}

void large_messages_both_ways_do_not_block(Communicator& world) {
  const int other = world.rank() ^ 1;
  if (other >= world.size()) return;
  constexpr std::size_t kBytes = 5'000'001;
  const Buffer mine = message(world.rank(), other, kBytes, 0);
  Buffer theirs(kBytes);
  const auto send = world.send(mine, other);
  const auto receive = world.receive(theirs, other);
  world.wait(send);
  world.wait(receive);
  require(theirs == message(other, world.rank(), kBytes, 0), "a large message");
}

void a_message_may_pass_through_all_ranks(Communicator& world) {
  Buffer data = message(0, 0, 1001, 5);
  if (world.rank() > 0) {
    std::fill(data.begin(), data.end(), std::byte{0});
    world.wait(world.receive(data, world.rank() - 1));
  }
  if (world.rank() + 1 < world.size()) world.wait(world.send(data, world.rank() + 1));
  require(data == message(0, 0, 1001, 5), "a message passed on");
}

void splits_number_their_ranks_by_key(Communicator& world) {
  const int colour = world.rank() % 2;
  const auto half = world.split(colour, -world.rank(), "half");
  const int size = (world.size() + 1 - colour) / 2;
  require(half->size() == size && half->name() == "half", "the size of a split");
  require(half->rank() == size - 1 - world.rank() / 2, "ranks by descending key");
  check_everything(*half, 1001, 10 + colour);
  const auto quarter = half->split(half->rank() / 2, 0, "quarter");
  require(quarter->rank() == half->rank() % 2, "equal keys keep their order");
  check_everything(*quarter, 64, 20 + colour);
  // Groups and the ranks they come from talk without mixing.
  UnderWay outer = begin_all_to_all(world, 1000, 30);
  UnderWay inner = begin_all_to_all(*half, 1000, 31);
  check_all_gather(*quarter, 9, 32);
  half->wait(inner.request);
  world.wait(outer.request);
  require(inner.to == inner.expected && outer.to == outer.expected, "two groups at once");
}

void large_reductions_are_sums_of_every_piece(Communicator& world) {
  check_all_reduce(world, 300'003, 40);
  check_reduce_scatter(world, 140'001, 41);
}

// Rank 1 comes to wait for its reductions only after a message that rank 0 sends when it has its own.
void a_reduction_goes_on_while_others_wait_for_something_else(Communicator& world) {
  Integers sums = integers(world.rank(), 200'000, 50);
  Integers largest = integers(world.rank(), 200'000, 51);
  const auto first = world.all_reduce(sums, IntegerReduction::sum);
  const auto second = world.all_reduce(largest, IntegerReduction::maximum);
  std::byte token{};
  if (world.rank() == 1) world.wait(world.receive(Bytes(&token, 1), 0));
  world.wait(second);
  world.wait(first);
  if (world.rank() == 0 && world.size() > 1) world.wait(world.send(ConstBytes(&token, 1), 1));
  require(sums == reduced(world.size(), sums.size(), 50, IntegerReduction::sum), "a sum among others");
  require(largest == reduced(world.size(), sums.size(), 51, IntegerReduction::maximum),
          "a maximum among others");
}

std::vector<Layout> layouts_of(int ranks) {
  std::vector<Layout> layouts;
  for (int tensor = 1; tensor <= ranks; ++tensor) {
    for (int pipeline = 1; tensor * pipeline <= ranks; ++pipeline) {
      if (ranks % (tensor * pipeline) != 0) continue;
      layouts.push_back({.data = ranks / (tensor * pipeline), .pipeline = pipeline, .tensor = tensor});
    }
  }
  return layouts;
}

// The world's ranks of a group, in its order.
std::vector<int> members(Communicator& world, Communicator& group) {
  const int mine = world.rank();
  std::vector<int> all(static_cast<std::size_t>(group.size()));
  group.wait(group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all))));
  return all;
}

void meshes_of_every_layout_have_the_right_groups(Communicator& world) {
  for (const Layout& layout : layouts_of(world.size())) {
    Mesh mesh(layout, world);
    const std::string text = to_string(layout);
    require(rank_of(layout, mesh.place()) == world.rank(), text);
    const auto check = [&](Communicator& group, int MeshPlace::*coordinate, int degree) {
      std::vector<int> expected;
      for (int i = 0; i < degree; ++i) {
        MeshPlace place = mesh.place();
        place.*coordinate = i;
        expected.push_back(rank_of(layout, place));
      }
      require(group.rank() == mesh.place().*coordinate && members(world, group) == expected,
              fmt::format("{}: group {} of rank {}", text, group.name(), world.rank()));
    };
    check(mesh.tensor(), &MeshPlace::tensor, layout.tensor);
    check(mesh.data(), &MeshPlace::data, layout.data);
    check(mesh.pipeline(), &MeshPlace::pipeline, layout.pipeline);
    const bool end = layout.pipeline > 1 && (mesh.first_stage() || mesh.last_stage());
    require((mesh.ends() != nullptr) == end, text + ": who has ends");
    if (!end) continue;
    MeshPlace first = mesh.place();
    MeshPlace last = mesh.place();
    first.pipeline = 0;
    last.pipeline = layout.pipeline - 1;
    require(members(world, *mesh.ends()) == std::vector{rank_of(layout, first), rank_of(layout, last)},
            text + ": ends");
  }
}

constexpr ConformanceCase kCases[] = {
    {"CollectivesEqualAPlainReference", collectives_equal_a_plain_reference},
    {"OperationsUnderWayAreWaitedForInAnyOrder", operations_under_way_are_waited_for_in_any_order},
    {"MessagesThatCrossArriveInTheOrderSent", messages_that_cross_arrive_in_the_order_sent},
    {"LargeMessagesBothWaysDoNotBlock", large_messages_both_ways_do_not_block},
    {"AMessageMayPassThroughAllRanks", a_message_may_pass_through_all_ranks},
    {"LargeReductionsAreSumsOfEveryPiece", large_reductions_are_sums_of_every_piece},
    {"AReductionGoesOnWhileOthersWaitForSomethingElse",
     a_reduction_goes_on_while_others_wait_for_something_else},
    {"SplitsNumberTheirRanksByKey", splits_number_their_ranks_by_key},
    {"MeshesOfEveryLayoutHaveTheRightGroups", meshes_of_every_layout_have_the_right_groups},
};

}  // namespace

std::span<const ConformanceCase> conformance_cases() {
  return kCases;
}

}  // namespace megalith
