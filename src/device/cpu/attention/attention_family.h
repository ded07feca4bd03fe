// The table of one kernel family, made in its own translation unit.
#pragma once

#include "device/cpu/attention/attention_backward.h"
#include "device/cpu/attention/attention_forward.h"

namespace megalith::cpu {

template <class Family, class T>
AttentionKernels attention_kernels() {
  return {[](const ForwardPiece& piece) { ForwardKernel<Family, T>{piece}.run(); },
          [](const BackwardPiece& piece) { BackwardKernel<Family, T>{piece}.run(); },
          [](const RowDotsPiece& piece) { row_dots<typename Family::Floats, T>(piece); }};
}

template <class Family>
AttentionFamily attention_family() {
  return {attention_kernels<Family, bf16>(), attention_kernels<Family, float>()};
}

}  // namespace megalith::cpu
