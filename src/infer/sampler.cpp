#include "infer/sampler.h"

#include <algorithm>
#include <numeric>

#include "core/elementary.h"
#include "core/error.h"
#include "core/philox.h"

namespace megalith {

std::int32_t most_likely(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t id = 1; id < logits.size(); ++id) {
    if (logits[id] > logits[best] || logits[best] != logits[best]) best = id;
  }
  return static_cast<std::int32_t>(best);
}

Sampler::Sampler(const SamplingSettings& settings, std::int64_t vocabulary)
    : settings_(settings),
      order_(static_cast<std::size_t>(vocabulary)),
      weight_(static_cast<std::size_t>(vocabulary)) {}

std::int32_t Sampler::choose(std::span<const float> logits, std::uint32_t stream, std::int64_t position) {
  MEGALITH_CHECK(logits.size() == order_.size(), "{} logits for {}", logits.size(), order_.size());
  if (settings_.temperature <= 0) return most_likely(logits);

  // Candidates from the most to the least likely; NaN sinks to the end.
  std::iota(order_.begin(), order_.end(), 0);
  const auto more_likely = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)];
    const float y = logits[static_cast<std::size_t>(b)];
    if ((x != x) != (y != y)) return y != y;
    return x > y || (!(x < y) && a < b);
  };
  std::size_t kept = order_.size();
  if (settings_.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(settings_.top_k));
  std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(kept), order_.end(),
                    more_likely);

  const double greatest = logits[static_cast<std::size_t>(order_[0])];
  double total = 0;
  for (std::size_t rank = 0; rank < kept; ++rank) {
    const double z = logits[static_cast<std::size_t>(order_[rank])];
    const double weight = exp_exact(static_cast<float>((z - greatest) / settings_.temperature));
    weight_[rank] = weight == weight ? weight : 0;
    total += weight_[rank];
  }
  if (settings_.top_p < 1) {
    double sum = 0;
    std::size_t rank = 0;
    while (rank < kept && sum < settings_.top_p * total) sum += weight_[rank++];
    kept = std::max<std::size_t>(rank, 1);
    total = kept == 1 ? weight_[0] : sum;
  }
  const PhiloxCounter draw =
      philox({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32),
              static_cast<std::uint32_t>(RandomUse::sampling), stream},
             philox_key(settings_.seed));
  double remaining = to_unit_double(draw[0], draw[1]) * total;
  for (std::size_t rank = 0; rank < kept; ++rank) {
    remaining -= weight_[rank];
    if (remaining < 0) return order_[rank];
  }
  return order_[0];  // rounding left a crumb at the end, or every weight was zero
}

}  // namespace megalith
