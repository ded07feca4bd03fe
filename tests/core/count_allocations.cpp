#include "core/count_allocations.h"

#include <cstdlib>
#include <new>

namespace megalith::test {
std::atomic<std::int64_t> allocations{0};
}  // namespace megalith::test

// These replace the library's own; a sanitizer brings one that does not throw, which would not fit our
// delete.
void* operator new(std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  megalith::test::allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(std::size_t bytes) {
  if (void* memory = operator new(bytes, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
  std::free(memory);
}
