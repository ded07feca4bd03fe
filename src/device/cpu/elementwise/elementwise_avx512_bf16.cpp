#include "device/cpu/elementwise/elementwise_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {

template <>
ElementwiseKernels<float> elementwise_kernels_avx512_bf16<float>() {
  return ElementwiseFamily<avx512::Floats, float>::kernels();
}
template <>
ElementwiseKernels<bf16> elementwise_kernels_avx512_bf16<bf16>() {
  return ElementwiseFamily<avx512::Floats, bf16>::kernels();
}

}  // namespace megalith::cpu
