#include "device/cpu/loss/loss_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {

LossKernels loss_kernels_avx512_bf16() {
  return LossFamily<avx512::Floats>::kernels();
}

}  // namespace megalith::cpu
