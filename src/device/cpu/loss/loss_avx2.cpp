#include "device/cpu/loss/loss_kernels.h"
#include "device/cpu/simd/avx2.h"

namespace megalith::cpu {

LossKernels loss_kernels_avx2() {
  return LossFamily<avx2::Floats>::kernels();
}

}  // namespace megalith::cpu
