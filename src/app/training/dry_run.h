// What a run would be, without running it: megalith train --dry-run. Nothing here writes a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/training/data_sources.h"
#include "model/transformer.h"
#include "train/batch_schedule.h"
#include "train/rank_plan.h"

namespace megalith::app {

struct DryRun {
  struct Source {
    std::string name;
    std::int64_t sequences = 0;    // that the run reads of it
    std::optional<double> epochs;  // none where the source has no end
  };
  struct Point {
    std::int64_t step = 0;    // from 1
    std::int64_t tokens = 0;  // read before it
    double learning_rate = 0;
  };

  std::int64_t done = 0;  // steps that the run's newest checkpoint has
  std::int64_t steps = 0;
  std::int64_t sequences = 0;  // in all steps
  std::int64_t tokens = 0;
  std::int64_t sequence = 0;  // tokens of one
  std::int64_t micro = 0;     // sequences at a time
  std::vector<Source> sources;
  std::vector<BatchSchedule::Stage> batches;  // that the run reaches
  std::vector<Point> rates;                   // ascending
  std::int64_t parameters = 0;
  RankNeeds memory;
  double machine_bytes = 0;            // of memory; 0: unknown
  std::int64_t checkpoint_bytes = 0;   // of one
  std::int64_t checkpoints_kept = 0;   // 0: all
  std::optional<double> seconds_left;  // on this machine
  std::string unknown_time;            // why there are none
};

// Measures the speed for a few seconds where the model fits into the memory and a step is short enough.
// REQUIRES: config.schedule.steps is known.
DryRun dry_run(const TrainConfig& config, Device& device, const DataSources& data,
               const std::filesystem::path& run_folder);

std::string describe(const DryRun& run);
std::string to_json(const DryRun& run);  // one object, without line feed

}  // namespace megalith::app
