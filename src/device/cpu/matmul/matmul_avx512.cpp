#include "device/cpu/matmul/matmul_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {

MatmulKernels matmul_kernels_avx512() {
  return MatmulFamily<avx512::Floats, 4>::kernels();
}

}  // namespace megalith::cpu
