// The device a benchmark's options ask for.
#pragma once

#include <memory>

#include "device/cpu/cpu_device.h"
#include "harness.h"

namespace megalith::bench {

inline int threads_of(const Options& options) {
  return options.threads > 0 ? options.threads : usable_processors();
}

// The kernel family is what MEGALITH_ISA names, or the fastest.
inline std::unique_ptr<Device> open_device(int threads) {
  return cpu::make_device(threads, value_or_throw(cpu::choose_isa()));
}
inline std::unique_ptr<Device> open_device(const Options& options) {
  return open_device(threads_of(options));
}

}  // namespace megalith::bench
