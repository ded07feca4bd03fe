#include "comm/mpi/mpi_ranks.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "comm/host.h"
#include "comm/mpi/mpi_communicator.h"
#include "comm/mpi/peer_watch.h"
#include "core/error.h"

namespace megalith {
namespace {

// The tag of the message by which a rank that ends the job keeps the others from reporting its death as well.
constexpr int kLastWords = 1;
constexpr unsigned kPatienceSeconds = 5;

// Ends every rank of the job. Should the launcher not manage, at least this process ends.
[[noreturn]] void abort_job(int code) {
  alarm(kPatienceSeconds);
  MPI_Abort(MPI_COMM_WORLD, code);
  _exit(code);
}

[[noreturn]] void fail(int rank, const std::string& what, int code) {
  fmt::print(stderr, "megalith: rank {} failed: {}\n", rank, what);
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  for (int other = 0; other < size; ++other) {
    MPI_Request request = MPI_REQUEST_NULL;
    if (other != rank) MPI_Isend(&rank, 1, MPI_INT, other, kLastWords, MPI_COMM_WORLD, &request);
  }
  abort_job(code);
}

bool said_last_words(int rank) {
  int said = 0;
  MPI_Iprobe(rank, kLastWords, MPI_COMM_WORLD, &said, MPI_STATUS_IGNORE);
  return said != 0;
}

// Who shares this process's host and can see its processes.
std::vector<Peer> peers_of(Communicator& world) {
  struct Card {
    std::uint64_t host;
    std::int64_t process;
  };
  const Card mine = {process_space(), getpid()};
  std::vector<Card> cards(static_cast<std::size_t>(world.size()));
  world.wait(world.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(cards))));
  std::vector<Peer> peers;
  for (int rank = 0; rank < world.size(); ++rank) {
    const Card& card = cards[static_cast<std::size_t>(rank)];
    if (rank != world.rank() && card.host == mine.host)
      peers.push_back({rank, static_cast<int>(card.process)});
  }
  return peers;
}

// Every rank of the host is told; the lowest that is left speaks, the others wait for the end that it brings.
void peer_ended(const Peer& dead, const std::vector<Peer>& peers, int rank) {
  int speaker = rank;
  for (const Peer& peer : peers) {
    if (peer.rank != dead.rank) speaker = std::min(speaker, peer.rank);
  }
  if (speaker == rank && !said_last_words(dead.rank)) {
    fmt::print(stderr, "megalith: rank {} (process {}) is gone; the job ends\n", dead.rank, dead.process);
    abort_job(1);
  }
  sleep(kPatienceSeconds);
  _exit(1);
}

void begin_mpi() {
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (provided < MPI_THREAD_MULTIPLE) {
    throw WorldFailed("this MPI library does not allow several threads (MPI_THREAD_MULTIPLE)");
  }
}

int run_body(Communicator& world, const std::function<int(Communicator&)>& body) {
  const std::vector<Peer> peers = peers_of(world);
  const int rank = world.rank();
  const PeerWatch watch(peers, [&peers, rank](const Peer& dead) { peer_ended(dead, peers, rank); });
  const int code = body(world);
  MPI_Barrier(MPI_COMM_WORLD);  // until here everybody is needed
  return code;
}

}  // namespace

MpiSupport mpi_support() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  // Open MPI adds a line about its packager.
  const std::string version(text.data(), static_cast<std::size_t>(length));
  return {true, version.substr(0, version.find_first_of(",\n"))};
}

int run_mpi_rank(const std::function<int(Communicator& world)>& body) {
  int rank = 0;
  try {
    begin_mpi();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm world = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &world);
    const int code =
        run_body(*make_mpi_communicator(world, "world", std::make_shared<ReductionEngine>()), body);
    MPI_Finalize();
    return code;
  } catch (const RefusedInput& refused) {
    fail(rank, refused.what(), 2);
  } catch (const std::exception& failure) {
    fail(rank, failure.what(), 1);
  }
}

}  // namespace megalith
