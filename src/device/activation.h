// Activations of the feed-forward part.
#pragma once

#include <cstdint>

namespace megalith {

// gelu_tanh: x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3), the same function as x (1 + tanh u) / 2
//            without its cancellation; gelu_erf: x Phi(x) (Hendrycks and Gimpel, arXiv 1606.08415).
// swiglu, geglu: silu(gate) * up, gelu_tanh(gate) * up, silu(x) = x / (1 + exp(-x)) (Shazeer, arXiv
//            2002.05202). x is [gate, up] side by side, twice as wide as y.
enum class Activation : std::uint8_t { gelu_tanh, gelu_erf, swiglu, geglu };

constexpr bool is_gated(Activation activation) {
  return activation == Activation::swiglu || activation == Activation::geglu;
}

}  // namespace megalith
