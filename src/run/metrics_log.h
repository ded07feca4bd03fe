// metrics.jsonl: measured numbers of steps (tokens/s, validation loss, ...), one JSON object a line:
// {"step": 12, "tokens_per_second": 41250.5, "mfu": 0.41}. Unlike the ledger's, they differ from run to run.
// Which names a line has is up to its writer. A resume appends: of several lines for one step and name the
// last one counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "run/line_log.h"

namespace megalith {

struct MetricsLine {
  std::int64_t step = 0;
  std::map<std::string, double> values;  // NaN where the file has null
};

Expected<std::vector<MetricsLine>> parse_metrics(std::string_view text, const std::string& where);
// In file order; a torn last line is left out. A missing file has no lines.
Expected<std::vector<MetricsLine>> read_metrics(const std::filesystem::path& path);

class MetricsLog {
 public:
  // Creates the file, or cuts a torn last line off. Refuses a file that is something else.
  static Expected<MetricsLog> open(const std::filesystem::path& path);
  // Values that are not finite are written as null. REQUIRES: no name is "step" or given twice.
  void append(std::int64_t step, std::span<const std::pair<std::string_view, double>> values);

 private:
  explicit MetricsLog(LineLog log) : log_(std::move(log)) {}
  LineLog log_;
};

}  // namespace megalith
