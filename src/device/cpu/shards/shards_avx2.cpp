#include "device/cpu/shards/shards_kernels.h"
#include "device/cpu/simd/avx2.h"

namespace megalith::cpu {

ShardKernels shard_kernels_avx2() {
  return ShardFamily<avx2::Floats>::kernels();
}

}  // namespace megalith::cpu
