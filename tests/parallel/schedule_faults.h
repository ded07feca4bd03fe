// Wrong schedules: what a stage is told to do, changed in one place as a mistake in a schedule or in the
// engine's reading of it would.
#pragma once

#include <string>
#include <vector>

#include "pipeline/schedule.h"

namespace megalith::test {

struct ScheduleFault {
  std::string name;
  ScheduleShape shape;  // that it shows in; at least four micro batches
  MakeSchedule make;
};

const std::vector<ScheduleFault>& schedule_faults();

}  // namespace megalith::test
