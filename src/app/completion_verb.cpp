// megalith completion bash|zsh: the script that completes this program's command lines.

#include <CLI/CLI.hpp>

#include "app/console.h"
#include "app/manual/completion.h"
#include "app/verbs.h"
#include "train/train_config.h"

namespace megalith::app {
namespace {

std::vector<std::string> config_keys() {
  const LoadedConfig config;
  std::vector<std::string> names;
  for (const Key& key : config.registry.keys()) names.push_back(key.name);
  return names;
}

constexpr const char* kExamples = R"(Examples:
  source <(megalith completion bash)                                 in this shell
  megalith completion bash > ~/.local/share/bash-completion/completions/megalith
  megalith completion zsh > ~/.zfunc/_megalith                       with ~/.zfunc in fpath
An installed package brings both.
)";

}  // namespace

void add_completion_verb(CLI::App& app, Run& run) {
  CLI::App* verb = app.add_subcommand("completion", "Print the script that completes megalith in a shell");
  verb->footer(kExamples);
  verb->require_subcommand(1);
  using MakeScript = std::string (*)(const Command&, const std::vector<std::string>&);
  const auto add_shell = [&](const char* name, const char* help, MakeScript script) {
    // The tree is read when parsing has reached this verb: then every verb has been declared.
    verb->add_subcommand(name, help)->callback([&app, &run, script] {
      run = [script, root = read_command(app)] {
        print(script(root, config_keys()));
        return ExitCode::done;
      };
    });
  };
  add_shell("bash", "The script for bash", bash_completion);
  add_shell("zsh", "The script for zsh", zsh_completion);
}

}  // namespace megalith::app
