// Device: what one processor can compute. Layers, optimizer and inference are written once against it; the
// float64 oracles in tests/reference define what each operation means.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/arena.h"
#include "device/attention.h"
#include "device/elementwise.h"
#include "device/loss.h"
#include "device/matmul.h"
#include "device/optimizer.h"
#include "device/shards.h"

namespace megalith {

class Device {
 public:
  virtual ~Device() = default;
  virtual MatmulOps& matmul() = 0;
  virtual AttentionOps& attention() = 0;
  virtual ElementwiseOps& elementwise() = 0;
  virtual LossOps& loss() = 0;
  virtual OptimizerOps& optimizer() = 0;
  virtual ShardOps& shards() = 0;

  // Where arenas of this device's operands get their memory; it lives as long as the device.
  virtual ArenaMemory& memory() { return host_memory(); }

  // "CPU, 2 threads, avx512 kernels": for people.
  [[nodiscard]] virtual std::string description() const = 0;
  [[nodiscard]] virtual int num_threads() const = 0;
  // The ceiling that shares of peak refer to, FLOP/s; measured at the first call, some 30 ms. 0 when there is
  // none.
  virtual double peak_flops(DType dtype) = 0;
  // The ceiling of operations that are bound by memory, bytes read and written per second; measured at the
  // first call, which may take a second and 128 MiB. 0 when there is none.
  virtual double copy_bandwidth() { return 0; }
};

}  // namespace megalith
