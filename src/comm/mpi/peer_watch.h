// Watches processes of this host and tells when one has ended, however it ended. Linux tells through a
// descriptor of the process (pidfd); where it cannot, nobody is watched.
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace megalith {

struct Peer {
  int rank = 0;
  int process = 0;
};

class PeerWatch {
 public:
  // ended(peer) is called once, for the first that ends, on the watch's own thread.
  PeerWatch(const std::vector<Peer>& peers, std::function<void(const Peer&)> ended);
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;
  ~PeerWatch();  // stops watching

 private:
  void watch();

  std::function<void(const Peer&)> ended_;
  std::vector<Peer> watched_;
  std::vector<int> descriptors_;  // as watched_
  int stop_ = -1;                 // readable when the watch is to end
  std::thread thread_;
};

}  // namespace megalith
