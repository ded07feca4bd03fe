// A batch of random tokens without masks, one document per sequence.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/step_context.h"

namespace megalith::bench {

class RandomTokens {
 public:
  RandomTokens(std::int64_t sequences, std::int64_t sequence, std::int64_t vocabulary) : sequence_(sequence) {
    const auto count = static_cast<std::size_t>(sequences * sequence);
    for (std::size_t t = 0; t < count; ++t) {
      ids_.push_back(
          static_cast<std::int32_t>((t * 2654435761u >> 7) % static_cast<std::size_t>(vocabulary)));
      positions_.push_back(static_cast<std::int32_t>(t % static_cast<std::size_t>(sequence)));
    }
    start_.assign(count, 0);
    mask_.assign(count, 1);
    for (std::int64_t s = 0; s < sequences; ++s) samples_.push_back(s);
  }
  // Sequences [first, first + count); its memory is this object's.
  [[nodiscard]] MicroBatch micro_batch(std::int64_t first, std::int64_t count) const {
    const std::int64_t t = first * sequence_;
    return {.sequences = count,
            .sequence = sequence_,
            .ids = ids_.data() + t,
            .targets = ids_.data() + t,
            .loss_mask = mask_.data() + t,
            .document_start = start_.data() + t,
            .positions = positions_.data() + t,
            .samples = samples_.data() + first};
  }

 private:
  std::int64_t sequence_;
  std::vector<std::int32_t> ids_, positions_, start_;
  std::vector<std::uint8_t> mask_;
  std::vector<std::int64_t> samples_;
};

}  // namespace megalith::bench
