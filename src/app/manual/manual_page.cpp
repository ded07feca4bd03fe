#include "app/manual/manual_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "app/exit_code.h"

namespace megalith::app {
namespace {

struct Entry {
  std::string term;
  std::string text;
};

const Entry kEnvironment[] = {
    {"MEGALITH_CONFIGS", "A folder with models/ inside, searched for presets instead of the usual places."},
    {"MEGALITH_ISA",
     "Forces a family of kernels: portable, avx2, avx512 or avx512_bf16. All of them give the same bits."},
};

const Entry kFiles[] = {
    {"PREFIX/share/megalith/configs/models",
     "Presets for model.preset, where the program is PREFIX/bin/megalith."},
    {"PREFIX/share/megalith/configs/runs", "Run configs; tiny.toml needs no data and ends within a minute."},
    {"PREFIX/share/doc/megalith/docs", "The documentation: recipes, every config key, formats, numerics."},
    {"runs/NAME", "A run: frozen config, ledger, metrics, checkpoints, samples and report."},
};

struct Status {
  ExitCode code;
  const char* text;
};
constexpr Status kStatuses[] = {
    {ExitCode::done, "did what was asked"},
    {ExitCode::failed, "the world let us down: disk full, file vanished, not enough memory"},
    {ExitCode::refused, "the command line, a config or a file is not acceptable; nothing was changed"},
    {ExitCode::stopped, "Ctrl-C, SIGTERM or SIGUSR1; the state is saved, the same command continues"},
    {ExitCode::not_reproduced, "a resumed run does not reproduce its ledger"},
    {ExitCode::bug, "an exception nobody expected; a failed check aborts instead (134)"},
};

// Text that prints as it stands: no escapes, no requests, and plain ASCII for what manual pages would make
// typographic, so that commands can be copied.
std::string escaped(std::string_view text) {
  std::string result;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) result += "\\&";
    line_start = c == '\n';
    switch (c) {
      case '\\':
        result += "\\(rs";
        break;
      case '-':
        result += "\\-";
        break;
      case '\'':
        result += "\\(aq";
        break;
      case '`':
        result += "\\(ga";
        break;
      case '^':
        result += "\\(ha";
        break;
      case '~':
        result += "\\(ti";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string bold(std::string_view text) {
  return "\\fB" + escaped(text) + "\\fR";
}
std::string italic(std::string_view text) {
  return "\\fI" + escaped(text) + "\\fR";
}

void add_entries(std::string& page, std::string_view section, std::span<const Entry> entries) {
  page += fmt::format(".SH {}\n", section);
  for (const Entry& entry : entries)
    page += fmt::format(".TP\n{}\n{}\n", bold(entry.term), escaped(entry.text));
}

// Lines that are kept as they are.
void add_verbatim(std::string& page, std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return;
  page += fmt::format(".PP\n.nf\n{}\n.fi\n", escaped(text));
}

// "[--set KEY=VALUE]...", "FILES..."
std::string usage_of(const CommandArgument& argument) {
  std::string text = argument.names.empty() ? "" : bold(argument.names.back());
  if (!argument.value.empty()) text += (text.empty() ? "" : " ") + italic(argument.value);
  if (!argument.required) text = "[" + text + "]";
  return text + (argument.repeats ? "..." : "");
}

void add_argument(std::string& page, const CommandArgument& argument) {
  std::string term;
  for (const std::string& name : argument.names) term += (term.empty() ? "" : ", ") + bold(name);
  if (!argument.value.empty()) term += (term.empty() ? "" : " ") + italic(argument.value);
  std::string notes;
  const auto note = [&](const std::string& text) { notes += (notes.empty() ? "" : "; ") + text; };
  if (argument.required) note("required");
  if (!argument.range.empty()) note("in " + argument.range);
  if (!argument.default_value.empty()) note("default " + argument.default_value);
  page += fmt::format(".TP\n{}\n{}{}\n", term, escaped(argument.help),
                      notes.empty() ? "" : escaped(" (" + notes + ")"));
}

// Every verb has it; the page says so once.
bool is_help(const CommandArgument& option) {
  return std::find(option.names.begin(), option.names.end(), "--help") != option.names.end();
}

void add_command(std::string& page, const CommandPath& path) {
  const Command& command = *path.command;
  page += fmt::format(".SS {}\n{}.\n", escaped("megalith " + joined(path.words)), escaped(command.help));
  if (command.commands.empty()) {
    std::string usage = bold("megalith " + joined(path.words));
    for (const CommandArgument& option : command.options)
      if (option.required) usage += " " + usage_of(option);
    usage += " [" + italic("options") + "]";
    for (const CommandArgument& argument : command.positional) usage += " " + usage_of(argument);
    page += ".PP\n" + usage + "\n";
    for (const CommandArgument& argument : command.positional) add_argument(page, argument);
    for (const CommandArgument& option : command.options)
      if (!is_help(option)) add_argument(page, option);
  }
  add_verbatim(page, command.footer);
}

}  // namespace

std::string manual_page(const Command& root, const std::string& version) {
  std::string page = fmt::format(".TH MEGALITH 1 \"\" \"{}\"\n", version);
  page += ".SH NAME\nmegalith \\- train, evaluate and sample language models on the processor you have\n";
  page += fmt::format(".SH SYNOPSIS\n{} {} [{}] [{}]\n", bold("megalith"), italic("verb"), italic("options"),
                      italic("arguments"));
  page += fmt::format(".SH DESCRIPTION\n{}\n",
                      escaped(root.help.substr(0, root.help.find_last_not_of('\n') + 1)));
  page += ".SH OPTIONS\n";
  for (const CommandArgument& option : root.options) add_argument(page, option);
  page += ".SH VERBS\nEach has an option " + bold("--help") + ".\n";
  for (const CommandPath& path : all_commands(root))
    if (!path.words.empty()) add_command(page, path);
  page += ".SH EXAMPLES\n";
  constexpr std::string_view kHeading = "Examples:\n";
  const std::string_view footer = root.footer;
  add_verbatim(page, footer.starts_with(kHeading) ? footer.substr(kHeading.size()) : footer);
  page += ".SH EXIT STATUS\n";
  for (const Status& status : kStatuses)
    page += fmt::format(".TP\n{}\n{}\n", bold(std::to_string(static_cast<int>(status.code))),
                        escaped(status.text));
  add_entries(page, "ENVIRONMENT", kEnvironment);
  add_entries(page, "FILES", kFiles);
  return page;
}

}  // namespace megalith::app
