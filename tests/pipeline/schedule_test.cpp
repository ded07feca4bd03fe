// Proofs about schedules, over hundreds of shapes and all ranks at once.

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "pipeline/schedule_proof.h"
#include "pipeline/schedule_timeline.h"

namespace megalith {
namespace {

std::vector<ScheduleShape> shapes_of(ScheduleKind kind) {
  std::vector<ScheduleShape> shapes;
  const bool interleaved = kind == ScheduleKind::interleaved;
  for (int stages = interleaved ? 2 : 1; stages <= 9; ++stages) {
    for (int chunks = interleaved ? 2 : 1; chunks <= (interleaved ? 4 : 1); ++chunks) {
      for (const int micro_batches : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 16, 17, 24, 32, 33})
        shapes.push_back({kind, stages, chunks, micro_batches});
    }
  }
  return shapes;
}

std::string name_of(const ScheduleShape& shape) {
  return fmt::format("{} stages, {} chunks, {} micro batches", shape.stages, shape.chunks,
                     shape.micro_batches);
}

std::vector<std::vector<Instruction>> lists_of(const ScheduleShape& shape, bool training = true) {
  std::vector<std::vector<Instruction>> lists;
  for (int rank = 0; rank < shape.stages; ++rank)
    lists.push_back(training ? training_schedule(shape, rank) : forward_schedule(shape, rank));
  return lists;
}

class Schedules : public testing::TestWithParam<ScheduleKind> {};

TEST_P(Schedules, MeetAllMessagesInOrderAndNeverStandStillWithOneMessageAtATime) {
  for (const ScheduleShape& shape : shapes_of(GetParam())) {
    EXPECT_EQ(play(shape).standstill, "") << name_of(shape);
    EXPECT_EQ(
        play(shape, {.forward = 3, .backward_input = 1, .backward_weight = 2, .message = 0.7}).standstill, "")
        << name_of(shape);
    EXPECT_EQ(play(shape, lists_of(shape, false)).standstill, "") << name_of(shape);
  }
}

TEST_P(Schedules, PassEveryMicroBatchOnceEachWayWithItsMessagesAndReduceOnce) {
  for (const ScheduleShape& shape : shapes_of(GetParam()))
    EXPECT_EQ(schedule_flaw(shape), "") << name_of(shape);
}

TEST_P(Schedules, SplitTheBackwardPassOnlyWhereTheHalvesAreApart) {
  const bool halves = GetParam() == ScheduleKind::zero_bubble;
  for (const ScheduleShape& shape : shapes_of(GetParam())) {
    for (const std::vector<Instruction>& list : lists_of(shape)) {
      for (const Instruction& i : list)
        EXPECT_NE(i.operation, halves ? Operation::backward : Operation::backward_input) << name_of(shape);
    }
  }
}

TEST_P(Schedules, KeepAsManyActivationsAsTheyPromise) {
  for (const ScheduleShape& shape : shapes_of(GetParam())) {
    const std::vector<std::vector<Instruction>> lists = lists_of(shape);
    for (int rank = 0; rank < shape.stages; ++rank) {
      const int peak = peak_in_flight(lists[static_cast<std::size_t>(rank)]);
      if (shape.micro_batches % shape.stages == 0 || GetParam() != ScheduleKind::interleaved) {
        EXPECT_EQ(peak, most_in_flight(shape, rank)) << name_of(shape) << ", rank " << rank;
      }
    }
    for (const std::vector<Instruction>& list : lists_of(shape, false))
      EXPECT_EQ(peak_in_flight(list), shape.micro_batches > 0 ? 1 : 0);
  }
}

// Idle time of every rank, in forward passes of a rank, where a backward pass takes two.
double bubble_formula(const ScheduleShape& shape) {
  const double later = shape.stages - 1;
  if (shape.kind == ScheduleKind::interleaved) return 3 * later / shape.chunks;
  if (shape.kind == ScheduleKind::zero_bubble) return later;
  return 3 * later;
}

TEST_P(Schedules, StandIdleAsLongAsTheFormulaSays) {
  for (const ScheduleShape& shape : shapes_of(GetParam())) {
    if (shape.micro_batches == 0) continue;
    // The formulas are of full groups, and of a pipeline that gets full.
    if (GetParam() == ScheduleKind::interleaved && shape.micro_batches % shape.stages != 0) continue;
    if (GetParam() == ScheduleKind::zero_bubble && shape.micro_batches < shape.stages) continue;
    const ScheduleTimeline timeline = play(shape);
    const double work = 3.0 * shape.micro_batches;
    EXPECT_NEAR(timeline.length - work, bubble_formula(shape), 1e-9) << name_of(shape);
    EXPECT_NEAR(timeline.bubble(), bubble_formula(shape) / (work + bubble_formula(shape)), 1e-9)
        << name_of(shape);
    if (GetParam() == ScheduleKind::gpipe || GetParam() == ScheduleKind::one_f_one_b) {
      EXPECT_NEAR(timeline.bubble(), (shape.stages - 1.0) / (shape.micro_batches + shape.stages - 1.0), 1e-9);
    }
  }
}

std::string kind_name(const testing::TestParamInfo<ScheduleKind>& info) {
  constexpr const char* kNames[] = {"gpipe", "one_f_one_b", "interleaved", "zero_bubble"};
  return kNames[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Kinds, Schedules,
                         testing::Values(ScheduleKind::gpipe, ScheduleKind::one_f_one_b,
                                         ScheduleKind::interleaved, ScheduleKind::zero_bubble),
                         kind_name);

TEST(SchedulePlay, FindsAForgottenSend) {
  const ScheduleShape shape{ScheduleKind::one_f_one_b, 3, 1, 4};
  std::vector<std::vector<Instruction>> lists = lists_of(shape);
  std::erase(lists[1], Instruction{Operation::send_activation, 0, 2});
  EXPECT_NE(play(shape, lists).standstill, "");
}

TEST(SchedulePlay, FindsAForgottenReceive) {
  const ScheduleShape shape{ScheduleKind::one_f_one_b, 3, 1, 4};
  std::vector<std::vector<Instruction>> lists = lists_of(shape);
  std::erase(lists[0], Instruction{Operation::receive_gradient, 0, 3});
  EXPECT_EQ(play(shape, lists).standstill, "what rank 1 sent last was not received");
}

TEST(SchedulePlay, FindsMessagesInAnotherOrderThanTheyAreReceivedIn) {
  const ScheduleShape shape{ScheduleKind::gpipe, 2, 1, 2};
  std::vector<std::vector<Instruction>> lists = lists_of(shape);
  std::swap(lists[0][1], lists[0][3]);  // both are sends
  EXPECT_EQ(lists[0][1].operation, Operation::send_activation);
  EXPECT_NE(play(shape, lists).standstill, "");
}

TEST(SchedulePlay, FindsRanksThatWaitForEachOther) {
  const ScheduleShape shape{ScheduleKind::one_f_one_b, 2, 1, 2};
  std::vector<std::vector<Instruction>> lists = lists_of(shape);
  // The first stage wants a gradient before it has sent what the gradient is of.
  std::rotate(lists[0].begin(), lists[0].begin() + 4, lists[0].begin() + 5);
  EXPECT_NE(play(shape, lists).standstill, "");
}

}  // namespace
}  // namespace megalith
