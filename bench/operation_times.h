// How long a rank's operations are under way, and how much of that it stands in wait().
#pragma once

#include <chrono>

#include "comm/observer.h"

namespace megalith::bench {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class OperationTimes final : public CommunicationObserver {
 public:
  int opened(const Communicator&) override { return 0; }
  void entered(ObservedOperation& operation) override {
    operation.mark = static_cast<std::uint64_t>(seconds_now() * 1e9);
  }
  void waiting(ObservedOperation&) override { wait_begin_ = seconds_now(); }
  void left(ObservedOperation& operation) override {
    const double now = seconds_now();
    waited += now - wait_begin_;
    under_way += now - static_cast<double>(operation.mark) * 1e-9;
  }
  double waited = 0, under_way = 0;  // seconds, of all operations together

 private:
  double wait_begin_ = 0;
};

}  // namespace megalith::bench
