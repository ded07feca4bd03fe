// Ranks as processes that a launcher started: mpirun, or srun with PMIx. The library is found when Megalith
// is configured; without it mpi_absent.cpp stands here.
//
// Why it is linked and not loaded when needed: loading it costs every start about a millisecond, a module of
// its own would have to be found beside the program wherever that is copied. MPI itself is begun by ranks of
// a job only.
#pragma once

#include <functional>
#include <string>

#include "comm/communicator.h"

namespace megalith {

struct MpiSupport {
  bool present = false;
  std::string text;  // the library's name and version, or why there is none
};
MpiSupport mpi_support();

// Runs body as this process's rank and returns what it returns, once every rank's body has returned. MPI may
// be begun once in a process.
//
// An exception that leaves body ends the whole job within seconds, after one line that names the rank; so
// does the death of any rank on this host, which a thread here watches. A death on another host is the
// launcher's to notice. REQUIRES: mpi_support().present.
int run_mpi_rank(const std::function<int(Communicator& world)>& body);

}  // namespace megalith
