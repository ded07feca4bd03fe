// Standard output and error of the program. SIGPIPE is ignored from the start, so that a run whose output
// went to a pager that was closed goes on; a reader that left is not an error, a full disk behind a
// redirection is.
#pragma once

#include <string_view>

#include "app/exit_code.h"

namespace megalith::app {

// A closed pipe, a full disk and a limit on file sizes are errors of the write, not signals that end us.
void let_writes_fail();

// Writes to standard output. Never throws: a failure is remembered for finish_output.
void print(std::string_view text);

// Shows what was printed so far: for lines that are written over.
void flush_output();

// True once standard output has failed or its reader has left: a verb that only prints may stop.
bool output_is_gone();

// One line on standard error per line of `text`, each after "megalith: ".
void complain(std::string_view text);

// Flushes standard output. The exit code of the program: `code`, or failed (with a message) when the output
// could not be written for another reason than a reader that left.
ExitCode finish_output(ExitCode code);

}  // namespace megalith::app
