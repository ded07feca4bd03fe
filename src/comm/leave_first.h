// For whoever owns memory that operations use: its last member, which is the first to be destroyed.
#pragma once

#include <exception>

#include "comm/communicator.h"

namespace megalith {

// When an exception destroys it, this rank is taken out of everything under way (Communicator::abandon)
// before the memory goes. Otherwise the owner has waited for its operations, and this does nothing.
class LeaveFirst {
 public:
  explicit LeaveFirst(Communicator& group) : group_(group), exceptions_(std::uncaught_exceptions()) {}
  ~LeaveFirst() {
    if (std::uncaught_exceptions() > exceptions_) group_.abandon();
  }
  LeaveFirst(const LeaveFirst&) = delete;
  LeaveFirst& operator=(const LeaveFirst&) = delete;

 private:
  Communicator& group_;
  int exceptions_;  // under way when it was made
};

}  // namespace megalith
