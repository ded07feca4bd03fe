// How near an operation came to what the machine allows (Williams, Waterman and Patterson, "Roofline", 2009):
// its declared FLOPs take at least so long, and its declared bytes too; the longer of the two is the bound.
#pragma once

#include <algorithm>
#include <chrono>

#include "device/device.h"
#include "device/profile/operation_log.h"

namespace megalith::profile {

struct Ceilings {
  double bf16_flops = 0;  // FLOP/s with bf16 operands
  double f32_flops = 0;
  double bandwidth = 0;  // bytes/s of a copy
};

inline Ceilings measure_ceilings(Device& device) {
  return {.bf16_flops = device.peak_flops(DType::bf16),
          .f32_flops = device.peak_flops(DType::f32),
          .bandwidth = device.copy_bandwidth()};
}

struct RooflineShare {
  double share = 0;  // least possible time over the time taken; above 1 where operands came from a cache
  bool by_memory = false;
};

// {} where nothing was declared or measured.
inline RooflineShare roofline_share(const OperationTotal& total, const Ceilings& ceilings) {
  const double peak = total.label.arithmetic == DType::bf16 ? ceilings.bf16_flops : ceilings.f32_flops;
  const double computing = peak > 0 ? total.cost.flops / peak : 0;
  const double moving = ceilings.bandwidth > 0 ? total.cost.bytes / ceilings.bandwidth : 0;
  const double seconds = std::chrono::duration<double>(total.time).count();
  if (seconds <= 0) return {};
  return {.share = std::max(computing, moving) / seconds, .by_memory = moving > computing};
}

}  // namespace megalith::profile
