#include "app/manual/command_tree.h"

#include <CLI/CLI.hpp>

namespace megalith::app {
namespace {

// The type's name without what the checks add to it: "INT" of "INT:INT in [0 - 1024]".
std::string type_of(const CLI::Option& option) {
  const std::string full = option.get_type_name();
  return full.substr(0, full.find(':'));
}

std::string range_of(const CLI::Option& option) {
  const std::string full = option.get_type_name();
  const std::size_t begin = full.find(" in [");
  return begin == std::string::npos ? "" : full.substr(begin + 4);
}

Takes what_it_takes(const std::string& type, const std::string& value) {
  if (type == "INT" || type == "UINT" || type == "FLOAT") return Takes::number;
  if (value == "KEY=VALUE") return Takes::assignment;
  if (value == "KEY") return Takes::key;
  return Takes::text;
}

CommandArgument read_argument(const CLI::Option& option) {
  CommandArgument argument{.help = option.get_description(),
                           .range = range_of(option),
                           .default_value = option.get_default_str(),
                           .required = option.get_required(),
                           .repeats = option.get_items_expected_max() > 1};
  for (const std::string& name : option.get_snames()) argument.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) argument.names.push_back("--" + name);
  if (option.get_items_expected_max() == 0) return argument;
  const std::string type = type_of(option);
  argument.value = type;
  if (type == "INT" || type == "UINT" || type == "FLOAT") argument.value = "NUMBER";
  if (option.get_positional()) argument.value = option.get_name(true);
  argument.takes = what_it_takes(type, argument.value);
  return argument;
}

void collect(const Command& command, const std::vector<std::string>& words, std::vector<CommandPath>& found) {
  found.push_back({words, &command});
  for (const Command& inner : command.commands) {
    std::vector<std::string> deeper = words;
    deeper.push_back(inner.name);
    collect(inner, deeper, found);
  }
}

}  // namespace

Command read_command(const CLI::App& app) {
  Command command{.name = app.get_name(), .help = app.get_description(), .footer = app.get_footer()};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    (option->get_positional() ? command.positional : command.options).push_back(read_argument(*option));
  }
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!verb->get_group().empty()) command.commands.push_back(read_command(*verb));
  }
  return command;
}

std::vector<CommandPath> all_commands(const Command& root) {
  std::vector<CommandPath> found;
  collect(root, {}, found);
  return found;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace megalith::app
