// megalith plan: what a run on many ranks would be, without running it.

#include <CLI/CLI.hpp>

#include "app/plan/plan_check.h"
#include "app/plan/plan_schedule.h"
#include "app/verbs.h"

namespace megalith::app {
namespace {

constexpr const char* kExamples = R"(Examples:
  megalith plan check configs/runs/tiny.toml --ranks 8 --set parallel.tensor=2      8 ranks = tensor 2 x ...
  megalith plan schedule --stages 8 --chunks 2 --micro-batches 16 --svg step.svg    who does what when
)";

}  // namespace

void add_plan_verb(CLI::App& app, Run& run) {
  CLI::App* verb =
      app.add_subcommand("plan", "What a run on many ranks would be: layouts, and schedules of pipelines");
  verb->footer(kExamples);
  verb->require_subcommand(1);
  add_plan_check(*verb, run);
  add_plan_schedule(*verb, run);
}

}  // namespace megalith::app
