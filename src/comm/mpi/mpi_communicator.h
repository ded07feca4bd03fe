#pragma once

#include <mpi.h>

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/mpi/reduction_engine.h"

namespace megalith {

inline constexpr std::size_t kLargestMpiPiece = std::size_t{1} << 30;

// Takes `comm` over and frees it. Errors of `comm` are returned (MPI_ERRORS_RETURN), and become PeerFailed.
// All communicators of a process share `engine`. `largest_piece` is for tests: MPI counts with int, so what
// is larger goes in pieces.
std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm comm, std::string name,
                                                    std::shared_ptr<ReductionEngine> engine,
                                                    std::size_t largest_piece = kLargestMpiPiece);

}  // namespace megalith
