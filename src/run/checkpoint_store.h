// The folder runs/NAME/checkpoints: which checkpoints are there, which is the newest good one, which may go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "run/checkpoint.h"

namespace megalith {

std::string checkpoint_folder_name(std::int64_t step);                          // "step-00001000"
std::optional<std::int64_t> step_of_folder_name(std::string_view folder_name);  // none for other names

struct CheckpointEntry {
  std::int64_t step = 0;
  std::filesystem::path folder;
};

// Complete checkpoints (good or damaged), steps ascending. A missing folder has none.
std::vector<CheckpointEntry> list_checkpoints(const std::filesystem::path& checkpoints);

struct NewestGood {
  std::optional<Checkpoint> checkpoint;  // none when no good one is there
  Refusals skipped;                      // why newer ones were passed over, file and chunk named
};
// The newest checkpoint that verifies completely, of those up to `at_most`. Reads every byte of what it
// tries.
NewestGood newest_good_checkpoint(const std::filesystem::path& checkpoints, std::int64_t at_most = INT64_MAX);

// Removes all but the `keep` newest checkpoints, and returns the removed steps. If none of those kept is
// good, the newest good one of the others stays, and so do the steps that are `spared`. REQUIRES: keep >= 1.
// Throws WorldFailed.
std::vector<std::int64_t> prune_checkpoints(const std::filesystem::path& checkpoints, int keep,
                                            const std::function<bool(std::int64_t step)>& spared = {});

// Removes temporary folders whose process is dead or has our own id (ids are used again, in containers at
// every start): call it with the run's lock held, before the first save. Returns their names.
std::vector<std::string> remove_unfinished_checkpoints(const std::filesystem::path& checkpoints);

}  // namespace megalith
