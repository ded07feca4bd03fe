// The shape of a verb. One verb is one file NAME_verb.cpp with one function add_NAME_verb, declared in
// verbs.h:
//
//   void add_doctor_verb(CLI::App& app, Run& run) {
//     auto options = std::make_shared<Options>();
//     CLI::App* verb = app.add_subcommand("doctor", "what works on this machine and why not");
//     verb->add_flag("--json", options->json, "print one JSON object");
//     verb->callback([options, &run] { run = [options] { return doctor(*options); }; });
//   }
//
// Parsing only chooses what to run; main() runs it after the whole command line was understood, so nothing
// has happened yet when a typo is refused. Verbs of two words (data build) add a subcommand with subcommands
// of its own and call require_subcommand(1) on it.
//
// A verb ends by returning an exit code, or by leaving with RefusedInput (value_or_throw), WorldFailed or
// std::bad_alloc: main() turns those into a message and a code.
#pragma once

#include <functional>

#include "app/exit_code.h"

namespace CLI {
class App;
}

namespace megalith::app {

// What the command line asked for.
using Run = std::function<ExitCode()>;

// Declares a verb on `app`; when the command line names it, parsing sets `run`. `run` outlives the parsing.
using AddVerb = void (*)(CLI::App& app, Run& run);

}  // namespace megalith::app
