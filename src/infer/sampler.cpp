#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/elementary.h"
#include "core/elementary_double.h"
#include "core/error.h"
#include "core/philox.h"

namespace megalith {
namespace {

template <class T>
std::int32_t first_greatest(std::span<const T> values) {
  std::size_t best = 0;
  for (std::size_t id = 1; id < values.size(); ++id) {
    if (values[id] > values[best] || values[best] != values[best]) best = id;
  }
  return static_cast<std::int32_t>(best);
}

// Puts the `kept` most likely ids of all to the front of `order`, in that order; NaN sinks to the end.
template <class T>
void rank_ids(std::span<const T> scores, std::size_t kept, std::vector<std::int32_t>& order) {
  const auto more_likely = [&](std::int32_t a, std::int32_t b) {
    const T x = scores[static_cast<std::size_t>(a)];
    const T y = scores[static_cast<std::size_t>(b)];
    if ((x != x) != (y != y)) return y != y;
    return x > y || (!(x < y) && a < b);
  };
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    more_likely);
}

}  // namespace

std::int32_t most_likely(std::span<const float> logits) {
  return first_greatest(logits);
}

std::vector<std::int32_t> most_likely(std::span<const float> logits, std::int64_t count) {
  std::vector<std::int32_t> order(logits.size());
  const std::size_t kept = std::min(order.size(), static_cast<std::size_t>(count));
  rank_ids(logits, kept, order);
  order.resize(kept);
  return order;
}

Sampler::Sampler(SamplingSettings settings, std::int64_t vocabulary)
    : settings_(std::move(settings)),
      score_(static_cast<std::size_t>(vocabulary)),
      count_(static_cast<std::size_t>(vocabulary)),
      order_(static_cast<std::size_t>(vocabulary)),
      weight_(static_cast<std::size_t>(vocabulary)) {
  if (settings_.typical < 1) surprise_.reserve(static_cast<std::size_t>(vocabulary));
}

void Sampler::penalize(const TokenHistory& history) {
  const double repetition = settings_.repetition_penalty;
  if (repetition != 1) {
    for (const std::span<const std::int32_t> ids : {history.prompt, history.answer}) {
      for (const std::int32_t id : ids) {
        double& score = score_[static_cast<std::size_t>(id)];
        if (count_[static_cast<std::size_t>(id)]++ > 0) continue;  // once, however often it stands there
        score = score > 0 ? score / repetition : score * repetition;
      }
    }
    for (const std::span<const std::int32_t> ids : {history.prompt, history.answer}) {
      for (const std::int32_t id : ids) count_[static_cast<std::size_t>(id)] = 0;
    }
  }
  if (settings_.presence_penalty != 0 || settings_.frequency_penalty != 0) {
    for (const std::int32_t id : history.answer) ++count_[static_cast<std::size_t>(id)];
    for (const std::int32_t id : history.answer) {
      const std::int32_t count = std::exchange(count_[static_cast<std::size_t>(id)], 0);
      if (count == 0) continue;  // dealt with where it stood first
      score_[static_cast<std::size_t>(id)] -=
          settings_.frequency_penalty * count + settings_.presence_penalty;
    }
  }
  for (const LogitBias& bias : settings_.logit_bias) score_[static_cast<std::size_t>(bias.id)] += bias.value;
}

double Sampler::total_weight(std::size_t kept) const {
  double total = 0;
  for (std::size_t rank = 0; rank < kept; ++rank) total += weight_[rank];
  return total;
}

std::size_t Sampler::rank_candidates() {
  std::size_t kept = order_.size();
  if (settings_.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(settings_.top_k));
  rank_ids(std::span<const double>(score_), kept, order_);
  const double greatest = score_[static_cast<std::size_t>(order_[0])];
  for (std::size_t rank = 0; rank < kept; ++rank) {
    const double score = score_[static_cast<std::size_t>(order_[rank])];
    const double weight = exp_exact(static_cast<float>((score - greatest) / settings_.temperature));
    weight_[rank] = weight == weight ? weight : 0;
  }
  return kept;
}

std::size_t Sampler::keep_top_p(std::size_t kept) const {
  if (settings_.top_p >= 1) return kept;
  const double enough = settings_.top_p * total_weight(kept);
  double sum = 0;
  std::size_t rank = 0;
  while (rank < kept && sum < enough) sum += weight_[rank++];
  return std::max<std::size_t>(rank, 1);
}

std::size_t Sampler::keep_min_p(std::size_t kept) const {
  const double least = settings_.min_p * weight_[0];
  while (kept > 1 && weight_[kept - 1] < least) --kept;
  return kept;
}

std::size_t Sampler::keep_typical(std::size_t kept) {
  if (settings_.typical >= 1) return kept;
  while (kept > 1 && weight_[kept - 1] == 0) --kept;  // of endless surprise
  const double total = total_weight(kept);
  if (kept == 1 || total <= 0) return kept;
  const double log_total = exact_log(total);
  double entropy = 0;
  surprise_.clear();
  for (std::size_t rank = 0; rank < kept; ++rank) {
    surprise_.push_back({.value = log_total - exact_log(weight_[rank]), .rank = rank});
    entropy += weight_[rank] / total * surprise_.back().value;
  }
  for (Surprise& candidate : surprise_) candidate.value = std::fabs(candidate.value - entropy);
  std::sort(surprise_.begin(), surprise_.end(), [](const Surprise& a, const Surprise& b) {
    return a.value < b.value || (a.value == b.value && a.rank < b.rank);
  });
  const double enough = settings_.typical * total;
  double sum = 0;
  std::size_t chosen = 0;
  while (chosen < kept && sum < enough) sum += weight_[surprise_[chosen++].rank];
  surprise_.resize(std::max<std::size_t>(chosen, 1));

  // Back to the order of likelihood, closing the gaps: a rank never moves behind its own place.
  std::sort(surprise_.begin(), surprise_.end(),
            [](const Surprise& a, const Surprise& b) { return a.rank < b.rank; });
  for (std::size_t place = 0; place < surprise_.size(); ++place) {
    order_[place] = order_[surprise_[place].rank];
    weight_[place] = weight_[surprise_[place].rank];
  }
  return surprise_.size();
}

std::int32_t Sampler::choose(std::span<const float> logits, std::uint32_t stream, std::int64_t position,
                             const TokenHistory& history) {
  MEGALITH_CHECK(logits.size() == score_.size(), "{} logits for {}", logits.size(), score_.size());
  std::copy(logits.begin(), logits.end(), score_.begin());
  penalize(history);
  if (settings_.temperature <= 0) return first_greatest(std::span<const double>(score_));

  const std::size_t kept = keep_typical(keep_min_p(keep_top_p(rank_candidates())));
  const PhiloxCounter draw =
      philox({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32),
              static_cast<std::uint32_t>(RandomUse::sampling), stream},
             philox_key(settings_.seed));
  double remaining = to_unit_double(draw[0], draw[1]) * total_weight(kept);
  for (std::size_t rank = 0; rank < kept; ++rank) {
    remaining -= weight_[rank];
    if (remaining < 0) return order_[rank];
  }
  return order_[0];  // rounding left a crumb at the end, or every weight was zero
}

}  // namespace megalith
