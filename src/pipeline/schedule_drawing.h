// Schedules for people: one row per stage, time from left to right.
#pragma once

#include <cstdint>
#include <string>

#include "pipeline/schedule_timeline.h"

namespace megalith {

// "1f1b", as the config says it.
const char* name_of(ScheduleKind kind);
// "1F1B", as people say it.
const char* title_of(ScheduleKind kind);

// What of a timeline is worth saying in a line or two.
struct ScheduleFacts {
  double bubble = 0;         // share of all ranks' time
  double length = 0;         // of the step, in forward passes of a rank
  std::vector<int> waiting;  // by stage: the most activations that wait at once
  std::int64_t sent = 0;     // messages of the busiest stage in a step
};
ScheduleFacts facts_of(const ScheduleTimeline& timeline);

// Columns of characters that to_text takes.
std::int64_t text_columns(const ScheduleTimeline& timeline);
// "F3" a forward pass of micro batch 3, "B3" a backward pass or its input half, "W3" a weight half; with
// several chunks "F3b" is that of chunk b. Passes that take longer are drawn longer.
std::string to_text(const ScheduleTimeline& timeline);
// A picture that stands alone, on white.
std::string to_svg(const ScheduleTimeline& timeline);

}  // namespace megalith
