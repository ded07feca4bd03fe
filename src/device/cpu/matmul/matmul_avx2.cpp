#include "device/cpu/matmul/matmul_kernels.h"
#include "device/cpu/simd/avx2.h"

namespace megalith::cpu {

MatmulKernels matmul_kernels_avx2() {
  return MatmulFamily<avx2::Floats, 1>::kernels();
}

}  // namespace megalith::cpu
