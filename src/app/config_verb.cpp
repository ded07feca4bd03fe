// megalith config explain [KEY]: what the keys of a training config mean.

#include <CLI/CLI.hpp>
#include <memory>

#include "app/console.h"
#include "app/verbs.h"
#include "config/describe.h"
#include "train/train_config.h"

namespace megalith::app {
namespace {

struct Options {
  std::string key;
  bool json = false;
  bool markdown = false;
};

ExitCode explain_keys(const Options& options) {
  const LoadedConfig config;
  if (options.markdown) {
    print(to_markdown(config.registry));
  } else if (options.json) {
    print(value_or_throw(explain_as_json(config.registry, options.key)) + "\n");
  } else {
    print(value_or_throw(explain(config.registry, options.key)));
  }
  return ExitCode::done;
}

constexpr const char* kExamples = R"(Examples:
  megalith config explain               every key: type, unit, range, default, meaning
  megalith config explain optimizer     a section
  megalith config explain batch.micro   one key
)";

}  // namespace

void add_config_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("config", "The keys of a training config");
  verb->footer(kExamples);
  verb->require_subcommand(1);
  CLI::App* explain_verb = verb->add_subcommand("explain", "Type, unit, range, default and meaning of keys");
  explain_verb->add_option("KEY", options->key, "A key or a section; everything without one");
  explain_verb->add_flag("--json", options->json, "Print a JSON array");
  explain_verb->add_flag("--markdown", options->markdown, "Print docs/configuration.md");
  explain_verb->callback([options, &run] { run = [options] { return explain_keys(*options); }; });
}

}  // namespace megalith::app
