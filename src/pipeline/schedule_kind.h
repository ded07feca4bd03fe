// The orders in which a pipeline's stages may work through the micro batches of a step.
#pragma once

#include <cstdint>

namespace megalith {

enum class ScheduleKind : std::uint8_t {
  gpipe,        // all forward passes, then all backward passes
  one_f_one_b,  // one backward pass after each forward pass: as few activations wait as possible
  interleaved,  // the same with several chunks of layers per rank: a smaller bubble
  zero_bubble,  // the same with weight gradients put off into the bubble
};

}  // namespace megalith
