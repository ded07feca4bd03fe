#include "device/cpu/optimizer/optimizer_kernels.h"
#include "device/cpu/simd/portable.h"

namespace megalith::cpu {

OptimizerKernels optimizer_kernels_portable() {
  return OptimizerFamily<portable::Floats>::kernels();
}

}  // namespace megalith::cpu
