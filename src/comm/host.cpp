#include "comm/host.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "core/digest.h"
#include "core/thread_pool.h"

namespace megalith {
namespace {

std::string host_text() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  // Names repeat; the kernel's own number does not, until the machine is started again.
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  return std::string(name.data()) + " " + boot;
}

std::uint64_t digest(const std::string& text) {
  return digest_bytes(text.data(), text.size());
}

}  // namespace

std::uint64_t host_identity() {
  return digest(host_text());
}

std::uint64_t process_space() {
  std::array<char, 64> space{};
  [[maybe_unused]] const auto length = readlink("/proc/self/ns/pid", space.data(), space.size() - 1);
  return digest(host_text() + " " + space.data());
}

HostShare share_of_host(Communicator& group) {
  struct Card {
    std::uint64_t host = 0;
    std::int64_t usable = 0;
    cpu_set_t processors{};
  };
  Card mine{.host = host_identity(), .usable = usable_processors()};
  sched_getaffinity(0, sizeof(mine.processors), &mine.processors);
  std::vector<Card> cards(static_cast<std::size_t>(group.size()));
  group.wait(group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(cards))));
  HostShare share{.ranks = 0};
  bool bound = false;  // by the launcher, each to its own
  cpu_set_t together = mine.processors;
  for (const Card& card : cards) {
    if (card.host != mine.host) continue;
    ++share.ranks;
    bound = bound || CPU_EQUAL(&card.processors, &mine.processors) == 0;
    CPU_OR(&together, &together, &card.processors);
  }
  share.processors = bound ? CPU_COUNT(&together) : static_cast<int>(mine.usable);
  return share;
}

}  // namespace megalith
