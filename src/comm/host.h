// Which ranks stand on one machine.
#pragma once

#include <cstdint>

#include "comm/communicator.h"

namespace megalith {

// Equal for processes of one running machine.
std::uint64_t host_identity();
// Equal for processes that can see each other by number as well: containers of one machine may not.
std::uint64_t process_space();
// What this rank's host has for the ranks of a group that stand on it.
struct HostShare {
  int ranks = 1;
  int processors = 1;  // that any of them may use
};
HostShare share_of_host(Communicator& group);  // collective

}  // namespace megalith
