// megalith report RUN_DIR: the page about a run, or its numbers as a table.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "app/console.h"
#include "app/report/csv_table.h"
#include "app/report/html_page.h"
#include "app/report/run_summary.h"
#include "app/verbs.h"
#include "core/file.h"

namespace megalith::app {
namespace {

struct Options {
  std::string folder;
  std::string output;
  std::string csv;  // where to write the table instead of the page
};

ExitCode report(const Options& options) {
  if (!options.csv.empty()) {
    write_file_atomically(options.csv, value_or_throw(csv_of_run(options.folder)));
    print(fmt::format("{}\n", options.csv));
    return ExitCode::done;
  }
  const RunSummary run = value_or_throw(read_run(options.folder));
  const std::filesystem::path output =
      options.output.empty() ? run.folder / "report.html" : std::filesystem::path(options.output);
  write_file_atomically(output, html_page(run));
  for (const std::string& note : run.notes) complain("left out: " + note);
  print(fmt::format("{}\n", output.string()));
  return ExitCode::done;
}

constexpr const char* kExamples = R"(Examples:
  megalith report runs/mine                        writes runs/mine/report.html, at any time
  megalith report runs/mine --output page.html
  megalith report runs/mine --csv mine.csv         every number of every step as a table
)";

}  // namespace

void add_report_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("report", "The page about a run: curves, samples, baselines, config");
  verb->footer(kExamples);
  verb->add_option("RUN_DIR", options->folder, "What was given to train --run-dir")->required();
  CLI::Option* output =
      verb->add_option("--output", options->output, "Where to write the page (default: RUN_DIR/report.html)");
  verb->add_option("--csv", options->csv, "Write this table instead: a row per step, a column per metric")
      ->excludes(output);
  verb->callback([options, &run] { run = [options] { return report(*options); }; });
}

}  // namespace megalith::app
