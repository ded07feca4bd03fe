#include "core/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace megalith {
namespace {
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kMeasuringCapacity = std::size_t{1} << 62;

class HostMemory final : public ArenaMemory {
 public:
  std::byte* reserve(const std::string& arena, std::size_t bytes) override {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw WorldFailed(
          fmt::format("out of memory: arena '{}' needs {:.1f} MiB. Try a smaller batch.micro or model.",
                      arena, static_cast<double>(bytes) / (1 << 20)));
    }
    madvise(memory, bytes, MADV_HUGEPAGE);  // advice only: failure costs speed, nothing else
    return static_cast<std::byte*>(memory);
  }
  void give_back(std::byte* memory, std::size_t bytes) noexcept override { munmap(memory, bytes); }
};

}  // namespace

ArenaMemory& host_memory() {
  static HostMemory memory;
  return memory;
}

Arena::Arena(std::string name, std::size_t capacity, ArenaMemory& memory)
    : name_(std::move(name)), memory_(&memory), capacity_(capacity) {
  if (capacity != 0) base_ = memory.reserve(name_, capacity);
}

Arena Arena::measuring(std::string name) {
  Arena arena;
  arena.name_ = std::move(name);
  arena.capacity_ = kMeasuringCapacity;
  arena.measuring_ = true;
  return arena;
}

Arena::~Arena() {
  if (base_ != nullptr) memory_->give_back(base_, capacity_);
}

Arena::Arena(Arena&& other) noexcept
    : name_(std::move(other.name_)),
      memory_(other.memory_),
      base_(std::exchange(other.base_, nullptr)),
      capacity_(other.capacity_),
      used_(other.used_),
      peak_(other.peak_),
      measuring_(other.measuring_) {}

Tensor Arena::allocate(DType dtype, std::initializer_list<std::int64_t> extents) {
  Tensor tensor(nullptr, dtype, extents);
  tensor.data = allocate_bytes(tensor.size_in_bytes());
  return tensor;
}

void* Arena::allocate_bytes(std::size_t bytes) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  MEGALITH_CHECK(rounded <= capacity_ - used_, "arena '{}' of {} bytes has {} left, {} wanted", name_,
                 capacity_, capacity_ - used_, rounded);
  void* address = measuring_ ? reinterpret_cast<void*>(kAlignment + used_)
                             : base_ + used_;  // NOLINT(performance-no-int-to-ptr)
  used_ += rounded;
  peak_ = std::max(peak_, used_);
  return address;
}

void Arena::release(std::size_t mark) {
  MEGALITH_CHECK(mark <= used_, "released to {}, only {} used", mark, used_);
  used_ = mark;
}

}  // namespace megalith
