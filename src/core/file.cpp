#include "core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace megalith {
namespace {

std::string errno_text() {
  return std::strerror(errno);
}  // NOLINT(concurrency-mt-unsafe)

[[noreturn]] void fail(const char* doing, const std::filesystem::path& path) {
  throw WorldFailed(fmt::format("{} {}: {}", doing, path.string(), errno_text()));
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "not a regular file";
}

// O_NONBLOCK so that a FIFO without a writer does not hang the open; the kind is checked on the open
// descriptor.
Expected<std::size_t> open_regular(int descriptor, const std::filesystem::path& path) {
  struct stat status {};
  if (descriptor < 0 || ::fstat(descriptor, &status) != 0) {
    return refuse(
        {.where = path.string(), .found = errno_text(), .allowed = "a readable file", .nearest = ""});
  }
  if (!S_ISREG(status.st_mode)) {
    return refuse({.where = path.string(),
                   .found = kind_of(status.st_mode),
                   .allowed = "a regular file",
                   .nearest = ""});
  }
  return static_cast<std::size_t>(status.st_size);
}

}  // namespace

Expected<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const Expected<std::size_t> size = open_regular(descriptor.get(), path);
  if (!size) return tl::unexpected(size.error());
  if (*size > limit) {
    return refuse({.where = path.string(),
                   .found = fmt::format("{} bytes", *size),
                   .allowed = fmt::format("at most {} bytes", limit),
                   .nearest = ""});
  }
  std::string text(*size, '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(descriptor.get(), text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("reading", path);
    if (got == 0) break;  // the file shrank under us
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  return text;
}

Expected<MappedFile> MappedFile::open(const std::filesystem::path& path, bool stay_open) {
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const Expected<std::size_t> size = open_regular(descriptor.get(), path);
  if (!size) return tl::unexpected(size.error());
  MappedFile file;
  if (*size == 0) return file;
  void* memory = ::mmap(nullptr, *size, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (memory == MAP_FAILED) fail("mapping", path);
  file.data_ = static_cast<const std::byte*>(memory);
  file.size_ = *size;
  if (stay_open) file.descriptor_ = descriptor.release();
  return file;
}

bool MappedFile::read(std::span<const std::byte> part, void* to) const {
  auto* next = static_cast<std::byte*>(to);
  auto offset = static_cast<off_t>(part.data() - data_);
  for (std::size_t left = part.size(); left > 0;) {
    const ssize_t got = ::pread(descriptor_, next, left, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    next += got;
    offset += got;
    left -= static_cast<std::size_t>(got);
  }
  return true;
}

Expected<InputFile> InputFile::open(const std::filesystem::path& path) {
  InputFile file(path, ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const Expected<std::size_t> size = open_regular(file.descriptor_, path);
  if (!size) return tl::unexpected(size.error());
  return file;
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::size_t InputFile::read(char* out, std::size_t size) {
  for (;;) {
    const ssize_t got = ::read(descriptor_, out, size);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) fail("reading", path_);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

void release_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(bytes.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(bytes.data() + bytes.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

OutputFile::OutputFile(std::filesystem::path path, bool append) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
  if (descriptor_ < 0) fail("creating", path_);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t done = ::write(descriptor_, next, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("writing", path_);
    next += done;
    size -= static_cast<std::size_t>(done);
  }
}

void OutputFile::sync() {
  if (::fsync(descriptor_) != 0) fail("syncing", path_);
}

void OutputFile::close() {
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("closing", path_);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::path temporary = path;
  temporary += fmt::format(".tmp-{}", ::getpid());
  try {
    OutputFile file(temporary);
    file.write(text);
    file.sync();
    file.close();
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail("renaming to", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

void sync_folder(const std::filesystem::path& folder) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0 || ::fsync(descriptor.get()) != 0) fail("syncing", folder);
}

void require_free_space(const std::filesystem::path& folder, std::uint64_t bytes) {
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0) fail("asking the free space of", folder);
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  if (free < bytes) {
    throw WorldFailed(fmt::format("{}: {:.1f} MiB needed, {:.1f} MiB free", folder.string(),
                                  static_cast<double>(bytes) / (1 << 20),
                                  static_cast<double>(free) / (1 << 20)));
  }
}

}  // namespace megalith
