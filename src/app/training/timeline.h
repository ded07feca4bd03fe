// Spans of time as a trace that ui.perfetto.dev and chrome://tracing open: one track per rank.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/profile/operation_log.h"

namespace megalith::app {

// A rank's row in the picture.
struct TraceTrack {
  int rank = 0;
  std::string name = "megalith train";
  std::optional<profile::Clock::time_point> start = {};  // time 0; none: the first section's
};

// What a track adds to the trace: calls inside their sections. Where calls before the first one were
// forgotten, sections that may have held some are left out; calls outside all sections always are.
std::string track_events(const TraceTrack& track, std::vector<profile::Span> sections,
                         const std::vector<profile::Span>& calls, bool calls_forgotten);

// JSON in the trace event format ("Trace Event Format", Google 2016): complete events ("X") in microseconds.
// `tracks` are what track_events said, in order of ranks.
std::string trace_of(std::span<const std::string> tracks);

}  // namespace megalith::app
