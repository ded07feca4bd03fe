// Ranks that do not belong together are refused before they train: each of these is collective, and names the
// first rank that has something else than rank 0.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "data/dataset.h"
#include "run/run_directory.h"
#include "train/train_config.h"

namespace megalith::app {

void require_one_build(Communicator& world);
void require_one_config(Communicator& world, const TrainConfig& config);
// Compares how many samples there are, the first and the last.
void require_one_text(Communicator& world, const Dataset& train, std::int64_t sequence);
// Compares when the run was created.
void require_one_run(Communicator& world, const RunDirectory& run);

}  // namespace megalith::app
