// Cosines and sines of rotary positions (Su et al., arXiv 2104.09864), made once for all positions.
#pragma once

#include <cstdint>

#include "core/arena.h"
#include "core/tensor.h"

namespace megalith {

// How frequencies are stretched for contexts longer than the one a model was trained on. Scaling that depends
// on the length of the present text is not among them: the bits of a prefix would depend on what follows.
enum class RotaryScaling : std::uint8_t {
  none,
  linear,  // every frequency divided by `factor` (Chen et al., arXiv 2306.15595)
  llama3,  // long waves divided by `factor`, short ones kept, a ramp between (Llama 3.1's config)
};

struct RotaryShape {
  int features = 0;  // of each head that turn, even; 0: none
  double base = 10000;
  RotaryScaling scaling = RotaryScaling::none;
  double factor = 1;
  // llama3: waves longer than original / low_frequency are long, shorter than original / high_frequency
  // short.
  double low_frequency = 1;
  double high_frequency = 4;
  std::int64_t original_sequence = 8192;
};

// Turns per position of pair i, in radians: base^(-2i / features), scaled. In f32, as the models that exist
// were trained with.
float rotary_frequency(const RotaryShape& shape, int pair);

class RotaryTable {
 public:
  // Positions 0 .. positions - 1. measuring: a shape without memory, for the simulated device.
  RotaryTable(const RotaryShape& shape, std::int64_t positions, bool measuring);

  // f32 [positions, features]: cosines, then sines; empty without rotary positions.
  [[nodiscard]] const Tensor& tensor() const { return table_; }

 private:
  Arena arena_;
  Tensor table_;
};

}  // namespace megalith
