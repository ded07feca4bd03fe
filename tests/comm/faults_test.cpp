// Planted faults do what they say, to the group and the sizes that they name, and to nothing else.
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <vector>

#include "comm/faults/faulty_communicator.h"
#include "comm/threads/threads.h"

namespace megalith {
namespace {

constexpr int kRanks = 4;

// What a rank has after one of each operation.
struct Outcome {
  std::vector<std::int64_t> sums = {1, 2, 3}, scattered = {0},
                            gathered = std::vector<std::int64_t>(kRanks, -1),
                            exchanged = std::vector<std::int64_t>(kRanks, -1), bits = {0}, messages = {0, 0};
  bool operator==(const Outcome&) const = default;
};

template <class T>
Bytes bytes(std::vector<T>& values) {
  return std::as_writable_bytes(std::span(values));
}

Outcome one_of_each(Communicator& group) {
  Outcome outcome;
  const int rank = group.rank();
  for (std::int64_t& value : outcome.sums) value *= rank + 1;
  group.wait(group.all_reduce(outcome.sums, IntegerReduction::sum));
  std::vector<std::int64_t> all(kRanks, rank + 1);
  group.wait(group.reduce_scatter(all, outcome.scattered));
  std::vector<std::int64_t> mine{10 + rank};
  group.wait(group.all_gather(bytes(mine), bytes(outcome.gathered)));
  std::vector<std::int64_t> out(kRanks);
  std::iota(out.begin(), out.end(), 100 * rank);
  group.wait(group.all_to_all(bytes(out), bytes(outcome.exchanged)));
  outcome.bits = {std::int64_t{1} << rank};
  group.wait(group.all_reduce(outcome.bits, IntegerReduction::bit_or));
  std::vector<std::vector<std::int64_t>> sent{{1000 + rank}, {2000 + rank}}, received{{0}, {0}};
  for (std::size_t m = 0; m < 2; ++m) {
    const auto send = group.send(bytes(sent[m]), (rank + 1) % kRanks);
    group.wait(group.receive(bytes(received[m]), (rank + kRanks - 1) % kRanks));
    group.wait(send);
    outcome.messages[m] = received[m][0];
  }
  return outcome;
}

std::vector<Outcome> with(const std::vector<PlantedFault>& faults) {
  std::vector<Outcome> outcomes(kRanks);
  run_ranks(kRanks, [&](Communicator& world) {
    std::unique_ptr<Communicator> faulty;
    for (const PlantedFault& fault : faults) faulty = with_fault(world, fault);
    Communicator& used = faulty ? *faulty : world;
    const auto group = used.split(0, used.rank(), "data");
    outcomes[static_cast<std::size_t>(world.rank())] = one_of_each(*group);
  });
  return outcomes;
}

TEST(PlantedFaults, ChangeNothingButWhatTheyName) {
  const std::vector<Outcome> sound = with({});
  EXPECT_EQ(sound[1].sums, (std::vector<std::int64_t>{10, 20, 30}));
  const auto changed = [&](const PlantedFault& fault, const auto& change) {
    std::vector<Outcome> expected = sound;
    for (int r = 0; r < kRanks; ++r) change(expected[static_cast<std::size_t>(r)], r);
    EXPECT_NE(expected, sound) << "the test expects no change";
    EXPECT_EQ(with({fault}), expected) << static_cast<int>(fault.kind);
  };
  using Values = std::vector<std::int64_t>;
  changed({.kind = FaultKind::sum_order, .group = "data"}, [](Outcome& o, int r) {
    o.exchanged = Values{r, 200 + r, 100 + r, 300 + r};
  });
  EXPECT_EQ(with({{.kind = FaultKind::sum_order, .group = "data", .least_values = kRanks * 8 + 1}}), sound);
  changed({.kind = FaultKind::forgotten_reduce, .group = "data"}, [](Outcome& o, int r) {
    o.sums = Values{r + 1, 2 * (r + 1), 3 * (r + 1)};
    o.scattered = Values{r + 1};
  });
  changed({.kind = FaultKind::forgotten_reduce, .group = "data", .least_values = 4},
          [](Outcome& o, int r) { o.scattered = Values{r + 1}; });
  changed({.kind = FaultKind::double_count, .group = "data", .most_values = 3}, [](Outcome& o, int) {
    o.sums = Values{11, 22, 33};
  });
  changed({.kind = FaultKind::double_count, .group = "data", .least_values = 4},
          [](Outcome& o, int) { o.scattered = Values{11}; });
  changed({.kind = FaultKind::lost_verdict, .group = "data"},
          [](Outcome& o, int r) { o.bits = Values{1 << r}; });
  changed({.kind = FaultKind::stale_piece, .group = "data"}, [](Outcome& o, int r) {
    if (r + 1 < kRanks) o.gathered.back() = -1;
  });
  changed({.kind = FaultKind::rotated_pieces, .group = "data"}, [](Outcome& o, int) {
    o.gathered = Values{11, 12, 13, 10};
  });
  changed({.kind = FaultKind::lost_bit, .group = "data"}, [](Outcome& o, int) {
    for (std::int64_t& message : o.messages) message ^= 1;
  });
  changed({.kind = FaultKind::late_message, .group = "data"},
          [](Outcome& o, int) { o.messages[1] = o.messages[0]; });
  EXPECT_EQ(with({{.kind = FaultKind::forgotten_reduce, .group = "tensor"}}), sound);
}

}  // namespace
}  // namespace megalith
