#include "run/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace megalith {
namespace {

[[noreturn]] void fail(int descriptor, const char* doing, const std::filesystem::path& file) {
  const std::string reason = std::strerror(errno);  // NOLINT(concurrency-mt-unsafe)
  if (descriptor >= 0) ::close(descriptor);
  throw WorldFailed(fmt::format("{} {}: {}", doing, file.string(), reason));
}

// Who wrote the file last; it may be between taking the lock and writing, so this is for the message only.
std::string holder(int descriptor) {
  std::array<char, 32> text{};
  const ssize_t size = ::pread(descriptor, text.data(), text.size(), 0);
  std::string id;
  for (ssize_t c = 0;
       c < size && text[static_cast<std::size_t>(c)] >= '0' && text[static_cast<std::size_t>(c)] <= '9';
       ++c) {
    id += text[static_cast<std::size_t>(c)];
  }
  return id;
}

}  // namespace

Expected<RunLock> RunLock::take(const std::filesystem::path& file) {
  // Closed on exec: a program that we start must not keep the run locked after our end.
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (descriptor < 0) fail(descriptor, "opening", file);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail(descriptor, "locking", file);
    const std::string id = holder(descriptor);
    ::close(descriptor);
    return refuse(
        {.where = file.string(),
         .found = id.empty() ? "a run that another process is working on"
                             : fmt::format("a run that process {} is working on", id),
         .allowed = "one process at a time",
         .nearest = id.empty() ? "wait for it" : fmt::format("wait for it, or stop it: kill {}", id)});
  }
  const std::string id = fmt::format("{}\n", ::getpid());
  const bool written = ::ftruncate(descriptor, 0) == 0 &&
                       ::pwrite(descriptor, id.data(), id.size(), 0) == static_cast<ssize_t>(id.size());
  if (!written) fail(descriptor, "writing", file);
  return RunLock(descriptor);
}

RunLock::RunLock(RunLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace megalith
