#include "comm/observer.h"

#include <gtest/gtest.h>

#include <vector>

#include "comm/conformance.h"
#include "comm/mesh.h"
#include "comm/operation_counts.h"
#include "comm/threads/threads.h"

namespace megalith {
namespace {

TEST(ObservedCommunicator, DoesWhatTheOneInsideDoes) {
  for (const ConformanceCase& one : conformance_cases()) {
    SCOPED_TRACE(one.name);
    EXPECT_NO_THROW(run_ranks(4, [&](Communicator& world) {
      OperationCounts counts;
      one.body(*observe(world, counts));
    }));
  }
}

TEST(OperationCounts, AreByKindAndCommunicator) {
  run_ranks(4, [](Communicator& world) {
    OperationCounts counts;
    const auto observed = observe(world, counts);
    const Mesh mesh({.data = 2, .tensor = 2}, *observed);
    counts.clear();  // splitting talks too
    std::vector<std::int64_t> values(100);
    std::vector<std::int64_t> half(50);
    for (int i = 0; i < 3; ++i) mesh.data().wait(mesh.data().all_reduce(values, IntegerReduction::sum));
    mesh.tensor().wait(mesh.tensor().reduce_scatter(values, half));
    mesh.tensor().wait(
        mesh.tensor().all_gather(std::as_bytes(std::span(half)), std::as_writable_bytes(std::span(values))));
    // An all-reduce of 800 bytes by two is a reduce-scatter and an all-gather of 400 each.
    EXPECT_EQ(counts.of("data", OperationKind::all_reduce), (OperationCount{3, 2400, 2400}));
    EXPECT_EQ(counts.of("tensor", OperationKind::reduce_scatter), (OperationCount{1, 800, 400}));
    EXPECT_EQ(counts.of("tensor", OperationKind::all_gather), (OperationCount{1, 800, 400}));
    EXPECT_EQ(counts.of("tensor", OperationKind::all_reduce), OperationCount{});
    EXPECT_EQ(counts.of("", OperationKind::all_reduce).calls, 3);
    EXPECT_NE(counts.to_text().find("data       all_reduce"), std::string::npos) << counts.to_text();
  });
}

TEST(OperationCounts, KnowTheVolumesOfTextbooks) {
  EXPECT_EQ(textbook_bytes_sent(OperationKind::all_reduce, 1200, 4), 1800);
  EXPECT_EQ(textbook_bytes_sent(OperationKind::all_gather, 1200, 4), 900);
  EXPECT_EQ(textbook_bytes_sent(OperationKind::reduce_scatter, 1200, 4), 900);
  EXPECT_EQ(textbook_bytes_sent(OperationKind::all_to_all, 1200, 4), 900);
  EXPECT_EQ(textbook_bytes_sent(OperationKind::broadcast, 1200, 4), 900);
  EXPECT_EQ(textbook_bytes_sent(OperationKind::send, 1200, 4), 1200);
  EXPECT_EQ(textbook_bytes_sent(OperationKind::receive, 1200, 4), 0);
}

}  // namespace
}  // namespace megalith
