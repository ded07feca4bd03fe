// What the process tells its caller (docs/exit-codes.md). Scripts and supervisors rely on these numbers.
#pragma once

namespace megalith::app {

enum class ExitCode : int {
  done = 0,            // did what was asked
  failed = 1,          // the world let us down: disk full, file vanished, out of memory
  refused = 2,         // the input or the command line is not acceptable; nothing was changed
  stopped = 3,         // Ctrl-C or SIGTERM; the state is saved and the same command continues
  not_reproduced = 4,  // a resumed run does not reproduce its ledger
  bug = 70,  // an exception nobody expected; a failed check aborts instead, which callers see as 134
};

}  // namespace megalith::app
