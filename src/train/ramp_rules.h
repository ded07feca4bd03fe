// Rules between the keys of the batch ramp.
#pragma once

#include "train/train_config.h"

namespace megalith {

// All broken ones, with the nearest legal values. REQUIRES: a resolved config.
Refusals check_ramp(const TrainConfig& config, const Registry& registry);

}  // namespace megalith
