// From a command line to a run that can train: which config counts, which directory, what is frozen.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "run/run_directory.h"
#include "train/train_config.h"

namespace megalith::app {

struct TrainRequest {
  std::filesystem::path config_file;
  std::vector<std::string> overrides;  // KEY=VALUE
  std::filesystem::path run_folder;    // empty: runs/ and the config file's name
  double minutes = 0;                  // 0: schedule.steps as it stands
};

// A config of so many steps, whatever it said before; warm-up and cool-down shrink with it where they would
// fill more than a tenth and a fifth.
void shorten(TrainConfig& config, std::int64_t steps);

std::filesystem::path run_folder_of(const TrainRequest& request);

// The config of a run that exists: what it froze, with the request's overrides that may change on a resume.
// Refuses overrides, and values of the config file, that would make it another run.
Expected<TrainConfig> config_of_existing_run(const RunDirectory& run, const TrainRequest& request);

}  // namespace megalith::app
