// Spans of time as a trace that ui.perfetto.dev and chrome://tracing open.
#pragma once

#include <string>
#include <vector>

#include "device/profile/operation_log.h"

namespace megalith::app {

// JSON in the trace event format ("Trace Event Format", Google 2016): complete events ("X") in microseconds,
// calls inside their sections on one track. Where calls before the first one were forgotten, sections that
// may have held some are left out; calls outside all sections always are.
std::string trace_events(std::vector<profile::Span> sections, const std::vector<profile::Span>& calls,
                         bool calls_forgotten);

}  // namespace megalith::app
