#include "app/interrupt.h"

#include <csignal>

namespace megalith::app {
namespace {

volatile std::sig_atomic_t asked = 0;  // the number of the signal

extern "C" void on_signal(int signal_number) {
  asked = signal_number;
  std::signal(signal_number, SIG_DFL);  // the second one is not caught
}

}  // namespace

void watch_for_interrupts() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGUSR1, on_signal);
}

bool interrupted() {
  return asked != 0;
}

void forget_ctrl_c() {
  if (asked != SIGINT) return;
  asked = 0;
  watch_for_interrupts();
}

}  // namespace megalith::app
