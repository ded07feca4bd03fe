// Ctrl-C and SIGTERM as a question a loop can ask. The first signal asks for an orderly end; a second one
// ends the process at once.
#pragma once

namespace megalith::app {

void watch_for_interrupts();
bool interrupted();

}  // namespace megalith::app
