// Keys that say one thing in different units, such as schedule.warmup_steps and schedule.warmup_tokens.
#pragma once

#include "config/registry.h"

namespace megalith {

// Of every such group the one that was given counts and the others become 0. One on the command line takes
// the place of another one in the file. Refuses several that were given in one place.
Refusals settle_alternatives(Registry& registry);

}  // namespace megalith
