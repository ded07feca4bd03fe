#include "device/cpu/elementwise/elementwise_kernels.h"
#include "device/cpu/simd/portable.h"

namespace megalith::cpu {

template <>
ElementwiseKernels<float> elementwise_kernels_portable<float>() {
  return ElementwiseFamily<portable::Floats, float>::kernels();
}
template <>
ElementwiseKernels<bf16> elementwise_kernels_portable<bf16>() {
  return ElementwiseFamily<portable::Floats, bf16>::kernels();
}

}  // namespace megalith::cpu
