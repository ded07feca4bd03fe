#include "comm/mpi/mpi_ranks.h"
#include "core/error.h"

namespace megalith {

MpiSupport mpi_support() {
  return {false, "this megalith was built without MPI"};
}

int run_mpi_rank(const std::function<int(Communicator& world)>&) {
  check_failed(__FILE__, __LINE__, "mpi_support().present", "a rank of MPI without MPI");
}

}  // namespace megalith
