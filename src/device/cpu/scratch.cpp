#include "device/cpu/scratch.h"

#include <cstdlib>

#include "core/error.h"

namespace megalith::cpu {

void Scratch::Free::operator()(void* memory) const {
  std::free(memory);
}

void* Scratch::bytes(std::size_t size) {
  if (size > capacity_) {
    const std::size_t rounded = (size + 4095) / 4096 * 4096;
    memory_.reset();
    memory_.reset(std::aligned_alloc(4096, rounded));
    if (memory_ == nullptr) throw WorldFailed(fmt::format("out of memory: {} bytes of scratch", rounded));
    capacity_ = rounded;
  }
  return memory_.get();
}

}  // namespace megalith::cpu
