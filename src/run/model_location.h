// What MODEL on a command line means: a run directory (its newest good checkpoint), RUN@STEP, RUN@best (the
// checkpoint of least held-out loss), or a checkpoint folder.
#pragma once

#include <filesystem>
#include <string>

#include "core/error.h"
#include "run/checkpoint.h"

namespace megalith {

struct ModelLocation {
  std::filesystem::path run;  // the run it belongs to; empty for a checkpoint that was copied elsewhere
  Checkpoint checkpoint;      // verified completely
  Refusals skipped;           // newer checkpoints that are damaged, and where; worth telling the user
};

// Refuses anything else with the nearest thing that would work: steps that exist, runs of that name under
// runs/.
Expected<ModelLocation> resolve_model(const std::string& argument);

}  // namespace megalith
