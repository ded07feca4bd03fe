// megalith plan schedule: what the stages of a pipeline do when, drawn.
#pragma once

#include "app/verb.h"

namespace megalith::app {

// Declares the verb `schedule` of `plan`.
void add_plan_schedule(CLI::App& plan, Run& run);

}  // namespace megalith::app
