// From logits to a token: greedy, temperature, top-k, top-p. A draw is a function of (seed, stream, position)
// alone, so it does not know about batches or other requests.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace megalith {

struct SamplingSettings {
  double temperature = 1.0;  // 0 is greedy
  int top_k = 0;             // keep the k most likely; 0 keeps all
  double top_p = 1.0;        // keep the smallest most likely set with at least this probability; 1 keeps all
  std::uint64_t seed = 0;
};

class Sampler {
 public:
  // `vocabulary`: logits per call. Reserves its memory here.
  Sampler(const SamplingSettings& settings, std::int64_t vocabulary);

  // The token for `position` of sample number `stream`. Ties go to the lower id; NaN logits are never chosen.
  // REQUIRES: logits.size() == vocabulary.
  [[nodiscard]] std::int32_t choose(std::span<const float> logits, std::uint32_t stream,
                                    std::int64_t position);

 private:
  SamplingSettings settings_;
  std::vector<std::int32_t> order_;
  std::vector<double> weight_;
};

// The most likely id, the lowest of equals.
std::int32_t most_likely(std::span<const float> logits);

}  // namespace megalith
