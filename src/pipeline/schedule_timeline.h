// All ranks' lists played together on paper: when each pass would run if passes took so long. Also the proof
// that they get along: a list that asks for what nobody sends stands still, and that is found here.
#pragma once

#include <string>
#include <vector>

#include "pipeline/schedule.h"

namespace megalith {

// Of all chunks of a rank together, in any unit.
struct PassCosts {
  double forward = 1, backward_input = 1, backward_weight = 1;
  double message = 0;  // on its way
};

struct Bar {
  Instruction instruction;  // a pass
  double begin = 0, end = 0;
};

struct ScheduleTimeline {
  ScheduleShape shape;
  std::vector<std::vector<Bar>> ranks;
  double length = 0;       // until the last rank is done
  std::string standstill;  // who waits for what, where not all could be done; else empty

  [[nodiscard]] double busy(int rank) const;
  // Share of all ranks' time in which they have nothing to do.
  [[nodiscard]] double bubble() const;
};

// Between two neighbours and in one direction one message fits at a time: who sends the next one waits until
// the one before was received.
ScheduleTimeline play(const ScheduleShape& shape, const std::vector<std::vector<Instruction>>& lists,
                      const PassCosts& costs = {});
// Of training_schedule.
ScheduleTimeline play(const ScheduleShape& shape, const PassCosts& costs = {});

}  // namespace megalith
