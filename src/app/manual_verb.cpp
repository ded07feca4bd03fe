// megalith manual: this program's manual page.

#include <CLI/CLI.hpp>

#include "app/build_facts.h"
#include "app/console.h"
#include "app/manual/manual_page.h"
#include "app/verbs.h"

namespace megalith::app {
namespace {

constexpr const char* kExamples = R"(Examples:
  megalith manual | man -l -          read it
  megalith manual > megalith.1        what an installation puts beside the other pages
)";

}  // namespace

void add_manual_verb(CLI::App& app, Run& run) {
  CLI::App* verb = app.add_subcommand("manual", "Print the manual page, in roff");
  verb->footer(kExamples);
  // The tree is read when parsing has reached this verb: then every verb has been declared.
  verb->callback([&app, &run] {
    run = [root = read_command(app)] {
      print(manual_page(root, "megalith " + build_facts().version));
      return ExitCode::done;
    };
  });
}

}  // namespace megalith::app
