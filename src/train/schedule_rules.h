// Rules between the keys of [schedule], which are too many for train_config.cpp.
#pragma once

#include "train/train_config.h"

namespace megalith {

// All broken ones, with the nearest legal values. REQUIRES: a resolved config.
Refusals check_schedule(const TrainConfig& config, const Registry& registry);

}  // namespace megalith
