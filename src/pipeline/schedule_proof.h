// What a training schedule must do, checked on all ranks' lists before anybody obeys them.
#pragma once

#include <string>
#include <vector>

#include "pipeline/schedule.h"

namespace megalith {

// The first thing that is wrong, with its rank; empty where nothing is. What is checked:
//   every micro batch passes every chunk once forward and then once backward, whole or in both halves in
//   order; what a pass needs arrives just before it, and what it makes is sent just behind it; every chunk is
//   reduced once, behind its last pass; no more activations wait than most_in_flight() promises; every send
//   meets its receive, and nobody waits for ever, with one message at a time between neighbours.
std::string schedule_flaw(const ScheduleShape& shape, const std::vector<std::vector<Instruction>>& lists);
// Of what `make` tells each rank.
std::string schedule_flaw(const ScheduleShape& shape, const MakeSchedule& make = training_schedule);

}  // namespace megalith
