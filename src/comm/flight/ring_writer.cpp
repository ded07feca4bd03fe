#include "comm/flight/ring_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "core/error.h"

namespace megalith {
namespace {

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Zeroed memory that is the file's. Blocks are asked for now: a full disk is no signal in the middle of a
// step.
void* map_new_file(const std::filesystem::path& path) {
  const auto fail = [&](int error) -> void {
    throw WorldFailed(fmt::format("{}: {}", path.string(), std::generic_category().message(error)));
  };
  // A reader of the one before keeps it.
  std::filesystem::remove(path);
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(errno);
  const int error = posix_fallocate(descriptor, 0, static_cast<off_t>(kRingFileBytes));
  void* memory = error == 0 ? mmap(nullptr, kRingFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
                            : MAP_FAILED;
  const int map_error = error == 0 ? errno : error;
  close(descriptor);
  if (memory == MAP_FAILED) fail(map_error);
  return memory;
}

}  // namespace

RingWriter::RingWriter(const std::filesystem::path& path, int rank, int ranks) {
  void* memory = map_new_file(path);
  header_ = static_cast<RingHeader*>(memory);
  records_ = reinterpret_cast<RingRecord*>(static_cast<std::byte*>(memory) + kRingHeaderBytes);
  header_->capacity = kRingCapacity;
  header_->rank = rank;
  header_->ranks = ranks;
  header_->process = getpid();
  gethostname(header_->host, sizeof(header_->host) - 1);
  std::memcpy(header_->magic, kRingMagic, sizeof(kRingMagic));
}

RingWriter::~RingWriter() {
  munmap(header_, kRingFileBytes);
}

int RingWriter::opened(const Communicator& communicator) {
  const std::uint64_t number = header_->groups++;
  if (number < kRingNames) {
    RingGroup& group = header_->group[number];
    const std::string& name = communicator.name();
    std::memcpy(group.name, name.data(), std::min(name.size(), kRingNameBytes - 1));
    group.rank = communicator.rank();
    group.size = communicator.size();
  }
  return static_cast<int>(number);
}

void RingWriter::entered(ObservedOperation& operation) {
  operation.mark = header_->entered;
  record(operation.mark) = {.ordinal = operation.mark,
                            .number = operation.number,
                            .bytes = operation.bytes,
                            .entered = now(),
                            .waiting = 0,
                            .left = 0,
                            .group = operation.communicator,
                            .peer = operation.peer,
                            .kind = static_cast<std::uint32_t>(operation.kind),
                            .unused = 0};
  ++header_->entered;
}

void RingWriter::waiting(ObservedOperation& operation) {
  if (record(operation.mark).ordinal == operation.mark) record(operation.mark).waiting = now();
}

void RingWriter::left(ObservedOperation& operation) {
  if (record(operation.mark).ordinal == operation.mark) record(operation.mark).left = now();
}

}  // namespace megalith
