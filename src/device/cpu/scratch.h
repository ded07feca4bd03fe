// Grow-only, 64-byte aligned scratch memory of an operation: after the first step of each shape nothing
// allocates.
#pragma once

#include <cstddef>
#include <memory>

namespace megalith::cpu {

class Scratch {
 public:
  // At least `count` elements of T; contents are undefined. Valid until the next larger request.
  template <class T>
  T* get(std::size_t count) {
    return static_cast<T*>(bytes(count * sizeof(T)));
  }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  void* bytes(std::size_t size);
  struct Free {
    void operator()(void* memory) const;
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t capacity_ = 0;
};

}  // namespace megalith::cpu
