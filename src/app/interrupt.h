// Ctrl-C, SIGTERM and SIGUSR1 as a question a loop can ask; SIGUSR1 is what launchers pass on to ranks and
// Slurm sends before a time limit. The first signal asks for an orderly end; a second one ends the process at
// once.
#pragma once

namespace megalith::app {

void watch_for_interrupts();
bool interrupted();

// After a Ctrl-C that ended a part of the work: interrupted() is false and the next Ctrl-C is the first
// again. A SIGTERM is not forgotten.
void forget_ctrl_c();

}  // namespace megalith::app
