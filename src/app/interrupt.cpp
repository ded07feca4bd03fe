#include "app/interrupt.h"

#include <csignal>

namespace megalith::app {
namespace {

volatile std::sig_atomic_t asked = 0;

extern "C" void on_signal(int signal_number) {
  asked = 1;
  std::signal(signal_number, SIG_DFL);  // the second one is not caught
}

}  // namespace

void watch_for_interrupts() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() {
  return asked != 0;
}

}  // namespace megalith::app
