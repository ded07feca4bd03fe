#include "device/cpu/matmul/matmul_kernels.h"
#include "device/cpu/simd/portable.h"

namespace megalith::cpu {

MatmulKernels matmul_kernels_portable() {
  return MatmulFamily<portable::Floats, 1>::kernels();
}

}  // namespace megalith::cpu
