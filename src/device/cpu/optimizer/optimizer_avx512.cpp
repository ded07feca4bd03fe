#include "device/cpu/optimizer/optimizer_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {

OptimizerKernels optimizer_kernels_avx512() {
  return OptimizerFamily<avx512::Floats>::kernels();
}

}  // namespace megalith::cpu
