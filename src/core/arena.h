// Arena: one block of memory, handed out front to back. Sizes are known before step 1; nothing else allocates
// in the steady state. Every byte of a run stands in a named arena, so that memory can be predicted and
// reported.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>

#include "core/tensor.h"

namespace megalith {

// Where arenas get their one block from: the host, or a device with memory of its own.
class ArenaMemory {
 public:
  virtual ~ArenaMemory() = default;
  // `bytes` > 0 zeroed bytes, aligned to 64. Throws WorldFailed, naming the arena, when they cannot be had.
  virtual std::byte* reserve(const std::string& arena, std::size_t bytes) = 0;
  virtual void give_back(std::byte* memory, std::size_t bytes) noexcept = 0;
};
ArenaMemory& host_memory();

class Arena {
 public:
  // Reserves `capacity` bytes of `memory`, which must outlive the arena. Throws as reserve() does.
  Arena(std::string name, std::size_t capacity, ArenaMemory& memory = host_memory());
  // A measuring arena: hands out addresses without memory, for the simulated device. Its peak() is the
  // capacity a real one needs.
  static Arena measuring(std::string name);
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&&) = delete;

  // 64-byte aligned. Contents are whatever was there (zero on first use). Running out is our bug: sizes are
  // computed by the same code that allocates.
  Tensor allocate(DType dtype, std::initializer_list<std::int64_t> extents);
  void* allocate_bytes(std::size_t bytes);

  // Stack discipline: release(mark()) gives back everything allocated since.
  [[nodiscard]] std::size_t mark() const { return used_; }
  void release(std::size_t mark);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t peak() const { return peak_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  Arena() = default;
  std::string name_;
  ArenaMemory* memory_ = &host_memory();
  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
  bool measuring_ = false;
};

// Gives back what was allocated in its scope.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  std::size_t mark_;
};

}  // namespace megalith
