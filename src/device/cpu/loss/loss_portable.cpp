#include "device/cpu/loss/loss_kernels.h"
#include "device/cpu/simd/portable.h"

namespace megalith::cpu {

LossKernels loss_kernels_portable() {
  return LossFamily<portable::Floats>::kernels();
}

}  // namespace megalith::cpu
