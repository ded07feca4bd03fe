#include "device/cpu/shards/shards_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {

ShardKernels shard_kernels_avx512() {
  return ShardFamily<avx512::Floats>::kernels();
}

}  // namespace megalith::cpu
