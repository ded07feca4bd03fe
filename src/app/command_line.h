// From argv to what shall run.
#pragma once

#include "app/verb.h"
#include "core/error.h"

namespace megalith::app {

// What the command line asks for: a verb, or printing help or the version. Refused: anything unknown, missing
// or malformed, with the nearest known verb or option.
Expected<Run> parse_command_line(int argc, const char* const* argv);

// Runs it and turns what is thrown into a message on standard error and an exit code.
ExitCode run_guarded(const Run& run);

}  // namespace megalith::app
