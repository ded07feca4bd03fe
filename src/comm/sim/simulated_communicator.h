// Ranks that are not there: operations that do nothing at once. With the simulated device, whose tensors have
// no memory, one process measures what any rank of any layout would need.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace megalith {

// Sizes are checked as the real ones check them. split() is refused, for nobody tells what the others would
// say: Mesh::simulated knows.
std::unique_ptr<Communicator> make_simulated_communicator(int rank, int size, std::string name);

}  // namespace megalith
