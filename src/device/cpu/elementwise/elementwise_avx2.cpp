#include "device/cpu/elementwise/elementwise_kernels.h"
#include "device/cpu/simd/avx2.h"

namespace megalith::cpu {

template <>
ElementwiseKernels<float> elementwise_kernels_avx2<float>() {
  return ElementwiseFamily<avx2::Floats, float>::kernels();
}
template <>
ElementwiseKernels<bf16> elementwise_kernels_avx2<bf16>() {
  return ElementwiseFamily<avx2::Floats, bf16>::kernels();
}

}  // namespace megalith::cpu
