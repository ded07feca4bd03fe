// Where measured numbers of a run go: metrics.jsonl, and event files for TensorBoard where they are wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "app/training/samples.h"
#include "run/event_log.h"
#include "run/ledger.h"
#include "run/metrics_log.h"
#include "run/run_directory.h"

namespace megalith::app {

class MetricsSink {
 public:
  // Refuses a metrics.jsonl that is something else.
  static Expected<MetricsSink> open(const RunDirectory& run, bool tensorboard);

  // The run goes on after `step`, 0 for its beginning. Before anything else is noted.
  void resumed(std::int64_t step);
  // Into both. Values that are not finite are null in metrics.jsonl.
  void note(std::int64_t step, std::span<const NamedValue> values);
  // What the ledger has anyway, and a sample, which has a file of its own: for TensorBoard only.
  void note_ledger(const LedgerLine& line);
  void note_sample(std::int64_t step, const TrainingSample& sample);

 private:
  MetricsSink(MetricsLog metrics, std::optional<EventLog> events)
      : metrics_(std::move(metrics)), events_(std::move(events)) {}

  MetricsLog metrics_;
  std::optional<EventLog> events_;
};

// TensorBoard's name of a metric; what stands before the first slash groups the charts: "speed/mfu".
std::string tensorboard_tag(std::string_view metric);

}  // namespace megalith::app
