#include "comm/host.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "core/digest.h"

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

int ranks_on_this_host(Communicator& group) {
  const std::uint64_t mine = host_identity();
  std::vector<std::uint64_t> all(static_cast<std::size_t>(group.size()));
  group.wait(group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all))));
  return static_cast<int>(std::count(all.begin(), all.end(), mine));
}

}  // namespace megalith
