#include "app/standard_input.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace megalith::app {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr int kPatienceMilliseconds = 100;

// Appends at most one block to `text`; how many bytes came, 0 at the end.
std::size_t read_block(int descriptor, std::string& text) {
  char block[kBlock];
  while (true) {
    const ssize_t got = ::read(descriptor, block, sizeof(block));
    if (got >= 0) {
      text.append(block, static_cast<std::size_t>(got));
      return static_cast<std::size_t>(got);
    }
    if (errno != EINTR && errno != EAGAIN) {
      const std::string reason = std::strerror(errno);  // NOLINT(concurrency-mt-unsafe)
      throw WorldFailed("reading standard input: " + reason);
    }
  }
}

}  // namespace

Expected<std::string> read_to_end(int descriptor, std::size_t limit) {
  std::string text;
  while (read_block(descriptor, text) > 0) {
    if (text.size() > limit) {
      return refuse({.where = "standard input",
                     .found = fmt::format("more than {} bytes", limit),
                     .allowed = fmt::format("at most {} bytes", limit),
                     .nearest = ""});
    }
  }
  return text;
}

LineReader::LineReader(int descriptor, std::size_t limit, std::function<bool()> interrupted)
    : descriptor_(descriptor), limit_(limit), interrupted_(std::move(interrupted)) {}

// A signal may arrive on another thread, or just before the waiting begins: so nothing waits for long.
LineReader::Arrival LineReader::wait_and_read() {
  while (!interrupted_()) {
    pollfd input{.fd = descriptor_, .events = POLLIN, .revents = 0};
    if (::poll(&input, 1, kPatienceMilliseconds) <= 0) continue;
    return read_block(descriptor_, pending_) > 0 ? Arrival::bytes : Arrival::end;
  }
  return Arrival::interrupted;
}

LineReader::Status LineReader::next(std::string& line) {
  bool too_long = false;
  while (true) {
    const std::size_t newline = pending_.find('\n');
    if (newline != std::string::npos) {
      line = pending_.substr(0, newline);
      pending_.erase(0, newline + 1);
      return too_long || line.size() > limit_ ? Status::too_long : Status::line;
    }
    if (pending_.size() > limit_) {
      too_long = true;
      pending_.clear();
    }
    const Arrival arrival = wait_and_read();
    if (arrival == Arrival::interrupted) return Status::interrupted;
    if (arrival == Arrival::end) {
      line = std::exchange(pending_, {});
      if (too_long) return Status::too_long;
      return line.empty() ? Status::end : Status::line;
    }
  }
}

}  // namespace megalith::app
