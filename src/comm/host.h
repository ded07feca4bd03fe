// Which ranks stand on one machine.
#pragma once

#include <cstdint>

#include "comm/communicator.h"

namespace megalith {

// Equal for processes of one running machine.
std::uint64_t host_identity();
// Equal for processes that can see each other by number as well: containers of one machine may not.
std::uint64_t process_space();
// Collective: how many ranks of the group stand on this rank's host, itself included.
int ranks_on_this_host(Communicator& group);

}  // namespace megalith
