// Ranks as threads of this process: tests, verify-layout and `train --ranks` need neither MPI nor root.
//
// An operation is done when every rank it concerns has posted it, in whatever order anybody waits: who waits
// copies, in pieces claimed one by one, so all waiting processors copy. The last to post does small ones on
// the spot. Nothing is allocated once the largest number of operations under way has been seen.
//
// A rank that throws, or returns while others still count on it, makes every wait of the others throw
// PeerFailed. Others may be copying from or to its buffers just then: whoever owns buffers leaves first
// (comm/leave_first.h).
#pragma once

#include <functional>

#include "comm/communicator.h"

namespace megalith {

// Calls body on `size` threads at once, as ranks 0 .. size - 1 of `world`, and returns when all are done.
// Rethrows the first exception, which is the one that made the others fail.
void run_ranks(int size, const std::function<void(Communicator& world)>& body);

}  // namespace megalith
