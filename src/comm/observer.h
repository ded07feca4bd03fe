// Seeing what a rank says without changing it: observers count, record and time operations of a communicator
// and of all that are split from it. Axes of one rank say nothing and are not seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/operation.h"

namespace megalith {

struct ObservedOperation {
  int communicator = 0;  // what opened() returned
  OperationKind kind = OperationKind::send;
  std::uint64_t number =
      0;  // counted per communicator from 0; a communicator's ranks agree on those of collectives
  std::size_t bytes = 0;   // of the larger of this rank's buffers
  int peer = -1;           // of a message the other end, of a broadcast the root
  std::uint64_t mark = 0;  // the observer's own, kept from entered() to left()
};

// Called on the thread that calls the communicator. Two threads of a rank need two observers.
class CommunicationObserver {
 public:
  virtual ~CommunicationObserver() = default;
  // A communicator begins. Returns its number for what follows.
  virtual int opened(const Communicator& communicator) = 0;
  virtual void entered(ObservedOperation& operation) = 0;  // before it is posted
  virtual void waiting(ObservedOperation&) {}              // wait() begins
  virtual void left(ObservedOperation&) {}                 // wait() has returned
};

// `inner` and `observer` outlive what is returned, and `observer` what is split from it.
std::unique_ptr<Communicator> observe(Communicator& inner, CommunicationObserver& observer);

}  // namespace megalith
