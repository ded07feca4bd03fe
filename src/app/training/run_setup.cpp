#include "app/training/run_setup.h"

#include <algorithm>

#include "app/configs_folder.h"
#include "core/file.h"
#include "train/alternatives.h"
#include "train/batch_schedule.h"

namespace megalith::app {

void shorten(TrainConfig& config, std::int64_t steps) {
  ScheduleConfig& schedule = config.schedule;
  const std::int64_t tokens = BatchSchedule(config.batch).tokens_before(steps);
  schedule.length = {.steps = steps};
  schedule.steps = steps;
  schedule.warmup_steps = std::min(schedule.warmup_steps, steps / 10);
  schedule.warmup_tokens = std::min(schedule.warmup_tokens, tokens / 10);
  schedule.cooldown_steps = std::min(schedule.cooldown_steps, steps / 5);
  schedule.cooldown_tokens = std::min(schedule.cooldown_tokens, tokens / 5);
}

std::filesystem::path run_folder_of(const TrainRequest& request) {
  if (!request.run_folder.empty()) return request.run_folder;
  return std::filesystem::path("runs") / request.config_file.stem();
}

Expected<TrainConfig> config_of_existing_run(const RunDirectory& run, const TrainRequest& request) {
  LoadedConfig frozen;
  if (Expected<void> read = parse_toml(run.config(), run.config_file().string(), frozen.registry); !read) {
    return tl::unexpected(read.error());
  }
  resolve(frozen.values);

  Expected<std::unique_ptr<LoadedConfig>> wanted =
      load_config_with_keys(request.config_file, request.overrides, configs_folder(request.config_file));
  if (!wanted) return tl::unexpected(wanted.error());
  if (request.minutes > 0) {  // came from the probe
    (*wanted)->values.schedule.warmup_steps = frozen.values.schedule.warmup_steps;
    (*wanted)->values.schedule.warmup_tokens = frozen.values.schedule.warmup_tokens;
  }
  if (Expected<void> same = check_resume(frozen.registry, (*wanted)->registry); !same) {
    return tl::unexpected(same.error());
  }

  // What the command line asks for goes over what was frozen; the file's other values do not.
  LoadedConfig result;
  if (Expected<void> read = parse_toml(run.config(), run.config_file().string(), result.registry); !read) {
    return tl::unexpected(read.error());
  }
  for (const std::string& text : request.overrides) {
    if (Expected<void> applied = set(result.registry, text); !applied) return tl::unexpected(applied.error());
  }
  if (Refusals twice = settle_alternatives(result.registry); !twice.empty()) return refuse(std::move(twice));
  resolve(result.values);
  if (Refusals broken = check_train(result.values, result.registry); !broken.empty())
    return refuse(std::move(broken));
  return result.values;
}

}  // namespace megalith::app
