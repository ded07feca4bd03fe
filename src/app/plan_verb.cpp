// megalith plan check: what a run on many ranks would be, without running it.

#include <CLI/CLI.hpp>

#include "app/plan/plan_check.h"
#include "app/verbs.h"

namespace megalith::app {
namespace {

constexpr const char* kExamples = R"(Examples:
  megalith plan check configs/runs/tiny.toml --ranks 8 --set parallel.tensor=2      8 ranks = tensor 2 x ...
)";

}  // namespace

void add_plan_verb(CLI::App& app, Run& run) {
  CLI::App* verb = app.add_subcommand("plan", "Layouts of a run on many ranks");
  verb->footer(kExamples);
  verb->require_subcommand(1);
  add_plan_check(*verb, run);
}

}  // namespace megalith::app
