// Pipeline schedules: pure functions from a shape and a rank to the list of instructions that the rank obeys.
// What all ranks' lists do together is proved in tests/pipeline and drawn by `megalith plan schedule`.
//
// Every schedule computes the same sums, so none changes a bit. They differ in how long ranks stand idle (the
// bubble) and in how many activations wait for their backward pass (the stash). With p stages, m micro
// batches, and a backward pass that takes twice a forward pass:
//   GPipe         bubble (p - 1) / (m + p - 1) of the time            m micro batches wait
//   1F1B          the same                                            at most p, fewer on later stages
//   interleaved   (p - 1) / v in the place of p - 1, for v chunks     more, and v times the messages
//   zero bubble   a third of 1F1B's                                   at most p on every stage
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "pipeline/instruction.h"
#include "pipeline/schedule_kind.h"

namespace megalith {

struct ScheduleShape {
  ScheduleKind kind = ScheduleKind::one_f_one_b;
  int stages = 1;         // ranks
  int chunks = 1;         // per rank; more than 1 only if interleaved, which takes more than 1 stage
  int micro_batches = 1;  // may be any number from 0
};

// What a rank is told to do in a step.
using MakeSchedule = std::function<std::vector<Instruction>(const ScheduleShape& shape, int rank)>;

// REQUIRES: 0 <= rank < stages.
std::vector<Instruction> training_schedule(const ScheduleShape& shape, int rank);
// Forward passes alone, for evaluation.
std::vector<Instruction> forward_schedule(const ScheduleShape& shape, int rank);

// The most activations of a chunk and micro batch that wait at once: from its receipt, or its forward pass
// where nothing is received, to the end of its backward pass. With forward passes alone, 1 or 0.
int peak_in_flight(std::span<const Instruction> instructions);
// What peak_in_flight of a training schedule never exceeds.
int most_in_flight(const ScheduleShape& shape, int rank);

}  // namespace megalith
