// The report of a run as one self-contained HTML page: no scripts, nothing loaded from anywhere.
#pragma once

#include <string>

#include "app/report/run_summary.h"

namespace megalith::app {

// The same summary gives the same bytes. Everything that came from files is escaped.
std::string html_page(const RunSummary& run);

}  // namespace megalith::app
