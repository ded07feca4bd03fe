#include "device/cpu/shards/shards_kernels.h"
#include "device/cpu/simd/portable.h"

namespace megalith::cpu {

ShardKernels shard_kernels_portable() {
  return ShardFamily<portable::Floats>::kernels();
}

}  // namespace megalith::cpu
