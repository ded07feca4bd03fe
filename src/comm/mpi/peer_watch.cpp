#include "comm/mpi/peer_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <optional>
#include <utility>

namespace megalith {
namespace {

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

// Signals go to the threads that know what to do with them.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

}  // namespace

PeerWatch::PeerWatch(const std::vector<Peer>& peers, std::function<void(const Peer&)> ended)
    : ended_(std::move(ended)) {
  std::optional<Peer> gone;
  for (const Peer& peer : peers) {
    const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, peer.process, 0));
    if (descriptor < 0 && errno == ESRCH) gone = peer;
    if (descriptor < 0) continue;
    watched_.push_back(peer);
    descriptors_.push_back(descriptor);
  }
  stop_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this, gone] {
    block_signals();
    if (gone) return ended_(*gone);
    watch();
  });
}

PeerWatch::~PeerWatch() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(stop_, &one, sizeof(one));
  thread_.join();
  close(stop_);
  for (const int descriptor : descriptors_) close(descriptor);
}

void PeerWatch::watch() {
  std::vector<pollfd> polls;
  for (const int descriptor : descriptors_) polls.push_back({descriptor, POLLIN, 0});
  polls.push_back({stop_, POLLIN, 0});
  while (poll(polls.data(), polls.size(), -1) < 0 && errno == EINTR) {
  }
  if (polls.back().revents != 0) return;
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    if (polls[i].revents != 0) return ended_(watched_[i]);
  }
}

}  // namespace megalith
