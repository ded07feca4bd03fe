#include "app/manual/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace megalith::app {
namespace {

// A word or pattern that a shell takes as it stands.
std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

// "'data'|'data build'": the patterns of one arm of a case; empty where there is nothing to match.
std::string patterns(const std::vector<std::string>& texts) {
  std::string result;
  for (const std::string& text : texts) result += (result.empty() ? "" : "|") + quoted(text);
  return result;
}

// The steps from a verb to the next: " data", "data build".
std::string step_patterns(const Command& root) {
  std::vector<std::string> steps;
  for (const CommandPath& path : all_commands(root)) {
    if (path.words.empty()) continue;
    const std::vector<std::string> outer(path.words.begin(), path.words.end() - 1);
    steps.push_back(joined(outer) + " " + path.words.back());
  }
  return patterns(steps);
}

// "train --set": every option, with its verb, whose value is of the kind.
std::string option_patterns(const Command& root, Takes takes) {
  std::vector<std::string> found;
  for (const CommandPath& path : all_commands(root)) {
    for (const CommandArgument& option : path.command->options) {
      if (option.takes != takes) continue;
      for (const std::string& name : option.names) found.push_back(joined(path.words) + " " + name);
    }
  }
  return patterns(found);
}

std::string arm(const std::string& patterns, std::string_view body) {
  return patterns.empty() ? "" : fmt::format("    {}) {} ;;\n", patterns, body);
}

bool takes_a_key(const Command& command) {
  return std::any_of(command.positional.begin(), command.positional.end(),
                     [](const CommandArgument& argument) { return argument.takes == Takes::key; });
}

bool takes_files(const Command& command) {
  return !command.positional.empty() && !takes_a_key(command);
}

// What one verb offers to bash: options, and words or files where no option is begun.
std::string bash_offer(const CommandPath& path) {
  std::vector<std::string> options;
  std::vector<std::string> words;
  for (const CommandArgument& option : path.command->options)
    options.insert(options.end(), option.names.begin(), option.names.end());
  for (const Command& inner : path.command->commands) words.push_back(inner.name);
  const std::string offered = takes_a_key(*path.command) ? "\"$keys\"" : quoted(joined(words));
  return arm(quoted(joined(path.words)), fmt::format("flags={} offered={} files={}", quoted(joined(options)),
                                                     offered, takes_files(*path.command) ? "yes" : ""));
}

constexpr std::string_view kBashBegin =
    R"(# Completion of megalith for bash; made by `megalith completion bash`.
_megalith() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb='' word
  local flags='' offered='' files=''
)";

// The equals sign is a word of its own to readline: in --set KEY=VALUE and in --option=VALUE.
constexpr std::string_view kBashWords = R"(  COMPREPLY=()
  if [[ $current == = ]]; then
    current=''
  elif [[ $previous == = ]] && ((COMP_CWORD > 2)); then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$verb $word" in
)";

constexpr std::string_view kBashKeys =
    R"(mapfile -t COMPREPLY < <(compgen -S = -W "$keys" -- "$current"); compopt -o nospace 2>/dev/null; return)";

// Where nothing is proposed, readline proposes files; compopt takes that away where files make no sense.
constexpr std::string_view kBashEnd = R"(  esac
  if [[ $current == -* ]]; then
    offered=$flags
  elif [[ -n $files ]]; then
    return
  fi
  compopt +o default 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
}
complete -o default -F _megalith megalith
)";

// "'--json:Print one JSON object'" for _describe.
std::string zsh_entry(const std::string& name, const std::string& help) {
  std::string text = name;
  text += ':';
  text += help.substr(0, help.find('\n'));
  return quoted(text);
}

std::string zsh_offer(const CommandPath& path) {
  std::string flags;
  std::string offered;
  for (const CommandArgument& option : path.command->options)
    for (const std::string& name : option.names) flags += " " + zsh_entry(name, option.help);
  for (const Command& inner : path.command->commands) offered += " " + zsh_entry(inner.name, inner.help);
  if (takes_a_key(*path.command)) offered = " $keys";
  return arm(quoted(joined(path.words)), fmt::format("flags=({} ) offered=({} ) files={}", flags, offered,
                                                     takes_files(*path.command) ? "yes" : ""));
}

constexpr std::string_view kZshBegin = R"(#compdef megalith
# Completion of megalith for zsh; made by `megalith completion zsh`.
_megalith() {
  local current=${words[CURRENT]} previous=${words[CURRENT-1]} verb='' word files=''
  local -a keys flags offered
)";

constexpr std::string_view kZshWords = R"(  if [[ $current == --*=* ]]; then
    previous=${current%%=*}
    compset -P '*='
  fi
  for word in "${(@)words[2,CURRENT-1]}"; do
    case "$verb $word" in
)";

constexpr std::string_view kZshKeys =
    R"(if compset -P '*='; then _files; else compadd -S = -a keys; fi; return)";

constexpr std::string_view kZshEnd = R"(  esac
  if [[ $current == -* ]]; then
    _describe -o option flags
  elif [[ -n $files ]]; then
    _files
  elif (( $#offered )); then
    _describe word offered
  fi
}
if [[ $funcstack[1] == _megalith ]]; then _megalith "$@"; else compdef _megalith megalith; fi
)";

}  // namespace

std::string bash_completion(const Command& root, const std::vector<std::string>& keys) {
  std::string script(kBashBegin);
  script += fmt::format("  local keys={}\n", quoted(joined(keys)));
  script += kBashWords;
  script += "  " + arm(step_patterns(root), "verb=${verb:+$verb }$word");
  script += "    esac\n  done\n  case \"$verb $previous\" in\n";
  script += arm(option_patterns(root, Takes::assignment), kBashKeys);
  script += arm(option_patterns(root, Takes::number), "compopt +o default 2>/dev/null; return");
  script += arm(option_patterns(root, Takes::text), "return");
  script += "  esac\n  case $verb in\n";
  for (const CommandPath& path : all_commands(root)) script += bash_offer(path);
  script += kBashEnd;
  return script;
}

std::string zsh_completion(const Command& root, const std::vector<std::string>& keys) {
  std::string script(kZshBegin);
  script += fmt::format("  keys=({})\n", joined(keys));
  script += kZshWords;
  script += "  " + arm(step_patterns(root), "verb=\"${verb:+$verb }$word\"");
  script += "    esac\n  done\n  case \"$verb $previous\" in\n";
  script += arm(option_patterns(root, Takes::assignment), kZshKeys);
  script += arm(option_patterns(root, Takes::number), "_message number; return");
  script += arm(option_patterns(root, Takes::text), "_files; return");
  script += "  esac\n  case $verb in\n";
  for (const CommandPath& path : all_commands(root)) script += zsh_offer(path);
  script += kZshEnd;
  return script;
}

}  // namespace megalith::app
