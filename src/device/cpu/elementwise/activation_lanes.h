// Activations and their derivatives in the lanes of one kernel family.
#pragma once

#include "core/elementary.h"
#include "device/activation.h"

namespace megalith::cpu {

// x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3)
struct GeluTanh {
  static constexpr float kRootTwoOverPi = 0x1.988454p-1f;
  static constexpr float kCubic = 0x1.6e4e26p-5f;  // 0.044715

  template <class F>
  MEGALITH_KERNEL static F sigmoid_of_twice_u(F x) {
    const F inner = x * fma(x * x, F::broadcast(kCubic), F::broadcast(1.0f));
    return sigmoid_lanes(inner * F::broadcast(2.0f * kRootTwoOverPi));
  }
  template <class F>
  MEGALITH_KERNEL static F value(F x) {
    return x * sigmoid_of_twice_u(x);
  }
  template <class F>
  MEGALITH_KERNEL static F derivative(F x) {
    const F s = sigmoid_of_twice_u(x);
    const F twice_du =
        fma(x * x, F::broadcast(3.0f * kCubic), F::broadcast(1.0f)) * F::broadcast(2.0f * kRootTwoOverPi);
    // x s (1 - s) 2u'; where s is 0 the factor x may have overflowed to Inf in 2u', so it is taken last.
    return fma(s * (F::broadcast(1.0f) - s) * x, twice_du, s);
  }
};

// x Phi(x)
struct GeluErf {
  static constexpr float kRootHalf = 0x1.6a09e6p-1f;
  static constexpr float kInverseRootTwoPi = 0x1.988454p-2f;

  template <class F>
  MEGALITH_KERNEL static F normal_cdf(F x) {
    return fma(erf_lanes(x * F::broadcast(kRootHalf)), F::broadcast(0.5f), F::broadcast(0.5f));
  }
  template <class F>
  MEGALITH_KERNEL static F value(F x) {
    return x * normal_cdf(x);
  }
  template <class F>
  MEGALITH_KERNEL static F derivative(F x) {
    const F density = exp_softmax_lanes(x * x * F::broadcast(-0.5f)) * F::broadcast(kInverseRootTwoPi);
    return fma(x, density, normal_cdf(x));
  }
};

// x / (1 + exp(-x))
struct Silu {
  template <class F>
  MEGALITH_KERNEL static F value(F x) {
    return x * sigmoid_lanes(x);
  }
  template <class F>
  MEGALITH_KERNEL static F derivative(F x) {
    const F s = sigmoid_lanes(x);
    return fma(s * (F::broadcast(1.0f) - s), x, s);
  }
};

// Calls body with the activation's slopes: value(x) and derivative(x).
template <class Body>
void with_slope(Activation activation, Body body) {
  switch (activation) {
    case Activation::gelu_erf:
      return body(GeluErf{});
    case Activation::swiglu:
      return body(Silu{});
    case Activation::gelu_tanh:
    case Activation::geglu:
      return body(GeluTanh{});
  }
}

}  // namespace megalith::cpu
