#include "device/cpu/optimizer/optimizer_kernels.h"
#include "device/cpu/simd/avx2.h"

namespace megalith::cpu {

OptimizerKernels optimizer_kernels_avx2() {
  return OptimizerFamily<avx2::Floats>::kernels();
}

}  // namespace megalith::cpu
