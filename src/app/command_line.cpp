#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <new>
#include <system_error>

#include "app/build_facts.h"
#include "app/console.h"
#include "app/edit_distance.h"
#include "app/verbs.h"

namespace megalith::app {
namespace {

constexpr const char* kIntroduction =
    "Megalith trains, evaluates and samples GPT-class language models on the processor you have.\n"
    "The loss of every step is the same to the last bit for any number of threads, any micro-batch\n"
    "size, and after any interruption.\n";

constexpr const char* kExamples =
    "Examples:\n"
    "  megalith doctor                                          what works on this machine\n"
    "  megalith tokenizer train book.txt --vocabulary 4096 --output tokenizer.json\n"
    "  megalith data build book.txt --tokenizer tokenizer.json --output data/book\n"
    "  megalith train configs/runs/tiny.toml --run-dir runs/tiny   starts, or resumes what is there\n"
    "  megalith generate runs/quickstart --prompt \"A hacker is\"   a trained model talks\n"
    "\n"
    "megalith VERB --help tells more. Exit codes: 0 done, 1 failed, 2 refused, 3 stopped on request\n"
    "with the state saved, 4 resume differs from its ledger (docs/exit-codes.md).\n";

// The verb, or verb of a verb, that the command line reached.
const CLI::App& deepest(const CLI::App& app) {
  const std::vector<CLI::App*> parsed = app.get_subcommands();
  return parsed.empty() ? app : deepest(*parsed.back());
}

// "", "data build"
std::string path_of(const CLI::App& app) {
  if (app.get_parent() == nullptr) return "";
  const std::string outer = path_of(*app.get_parent());
  return outer + (outer.empty() ? "" : " ") + app.get_name();
}

// What to type instead.
std::string command(const CLI::App& app, const std::string& rest) {
  const std::string path = path_of(app);
  return "megalith " + path + (path.empty() ? "" : " ") + rest;
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(verb->get_name());
  }
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

Refusal unknown_argument(const CLI::App& app, const std::string& argument) {
  const std::string name = argument.substr(0, argument.find('='));
  if (argument.starts_with("-")) {
    const std::string nearest = nearest_word(name, option_names(app));
    return {.where = path_of(app),
            .found = "unknown option " + argument,
            .allowed = join(option_names(app)),
            .nearest = nearest.empty() ? command(app, "--help") : nearest};
  }
  const std::vector<std::string> verbs = verb_names(app);
  if (verbs.empty()) {
    return {.where = path_of(app),
            .found = "one argument too many, '" + argument + "'",
            .allowed = "",
            .nearest = command(app, "--help")};
  }
  const std::string nearest = nearest_word(argument, verbs);
  return {.where = path_of(app),
          .found = "unknown verb '" + argument + "'",
          .allowed = join(verbs),
          .nearest = command(app, nearest.empty() ? "--help" : nearest)};
}

// Unknown arguments explain an error better than what they left missing ("--outptu x" and then "--output is
// required").
Refusals explain(const CLI::App& app, const std::string& message) {
  const CLI::App& verb = deepest(app);
  std::vector<std::string> unknown = verb.remaining();
  if (unknown.empty()) unknown = app.remaining(true);
  for (const std::string& argument : unknown) {
    if (argument.starts_with("-") && argument != "--") return {unknown_argument(verb, argument)};
  }
  for (const std::string& argument : unknown) {
    if (argument != "--") return {unknown_argument(verb, argument)};
  }
  return {{.where = (path_of(verb).empty() ? "" : path_of(verb) + ": ") + message,
           .found = "",
           .allowed = "",
           .nearest = command(verb, "--help")}};
}

Run print_and_end(std::string text, ExitCode code) {
  return [text = std::move(text), code] {
    print(text);
    return code;
  };
}

}  // namespace

Expected<Run> parse_command_line(int argc, const char* const* argv) {
  CLI::App app(kIntroduction, "megalith");
  app.footer(kExamples);
  app.set_version_flag("--version", version_line(), "Print the version and end");
  Run run;
  for (const AddVerb add : all_verbs()) add(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return print_and_end(app.help(), ExitCode::done);
  } catch (const CLI::CallForAllHelp&) {
    return print_and_end(app.help("", CLI::AppFormatMode::All), ExitCode::done);
  } catch (const CLI::CallForVersion&) {
    return print_and_end(version_line() + "\n", ExitCode::done);
  } catch (const CLI::ParseError& error) {
    return refuse(explain(app, error.what()));
  }
  if (!run) return print_and_end(app.help(), ExitCode::refused);
  return run;
}

ExitCode run_guarded(const Run& run) {
  try {
    return run();
  } catch (const RefusedInput& refused) {
    complain(refused.what());
    return ExitCode::refused;
  } catch (const WorldFailed& failure) {
    complain(failure.what());
    return ExitCode::failed;
  } catch (const std::system_error& failure) {  // the file system's errors among them
    complain(failure.what());
    return ExitCode::failed;
  } catch (const std::bad_alloc&) {
    complain("not enough memory; megalith doctor shows what this machine and its limits allow");
    return ExitCode::failed;
  } catch (const std::exception& unexpected) {
    complain(std::string("bug, an exception nobody expected: ") + unexpected.what());
    return ExitCode::bug;
  } catch (...) {
    complain("bug, an exception of an unknown kind");
    return ExitCode::bug;
  }
}

}  // namespace megalith::app
