// A communicator with a planted fault: what megalith verify-layout and the tests of parallel training prove
// themselves by. It wraps another one and stands in no training run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace megalith {

enum class FaultKind : std::uint8_t {
  sum_order,         // partial sums arrive in another order: the second and third quarter change places
  forgotten_reduce,  // a sum over ranks is not done: each goes on with its own
  double_count,      // rank 0 is counted twice in a sum
  lost_verdict,      // bits are not or-ed: one rank acts alone
  stale_piece,       // the last rank's piece of an all_gather is still the one before
  rotated_pieces,    // pieces of an all_gather lie one place on
  lost_bit,          // a message's last bit changes on the way
  late_message,      // a message is the one before of its size
};

struct PlantedFault {
  FaultKind kind = FaultKind::sum_order;
  std::string group;  // the axis: "tensor", "data", "pipeline", "ends"
  // Sums of fewer values are left alone, and of more; of sum_order exchanges of fewer bytes.
  std::size_t least_values = 0;
  std::size_t most_values = SIZE_MAX;
  // Of sum_order: exchanges of each group that come before and are left alone.
  std::size_t spared = 0;
};

// The same communicator, and everything that is split from it, with the fault. All ranks plant the same.
// `inner` outlives it.
std::unique_ptr<Communicator> with_fault(Communicator& inner, const PlantedFault& fault);

}  // namespace megalith
