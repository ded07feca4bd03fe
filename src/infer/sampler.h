// From logits to a token. A draw is a function of (seed, stream, position) alone, so it does not know about
// batches or other requests.
//
// What is asked for is applied in this order, each step to what the one before left:
//   1. repetition penalty    logits of the tokens in prompt or answer, once each: z / r if z > 0, else z * r
//                            (CTRL, Keskar et al. 2019)
//   2. presence, frequency   z - presence - frequency * c for a token that stands c > 0 times in the answer
//   3. logit bias            z + bias; after the penalties, so that a bias is what it says and a ban is one
//   4. temperature           p = softmax(z / temperature); 0 takes the greatest logit, and 5 to 8 do nothing
//   5. top-k                 the k most likely
//   6. top-p                 the smallest most likely set with at least this probability (Holtzman et al.
//                            2020)
//   7. min-p                 all with at least this share of the probability of the most likely
//   8. typical               the smallest set with at least this probability whose surprise -log p is nearest
//                            to the entropy (locally typical sampling, Meister et al. 2022)
// 5 to 8 keep one token at the least, and each measures the probabilities of what is left, summing up to 1.
// A step at its default does nothing. All is fp64 arithmetic in a fixed order, from our own exp and log: the
// same token on every machine.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace megalith {

struct LogitBias {
  static constexpr double kBan = -std::numeric_limits<double>::infinity();
  std::int32_t id = 0;
  double value = 0;  // finite, or kBan
};

struct SamplingSettings {
  double temperature = 1.0;         // 0 is greedy
  int top_k = 0;                    // 0 keeps all
  double top_p = 1.0;               // 1 keeps all
  double min_p = 0.0;               // 0 keeps all
  double typical = 1.0;             // 1 keeps all
  double repetition_penalty = 1.0;  // above 0; above 1 makes repetition less likely
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::vector<LogitBias> logit_bias;
  std::uint64_t seed = 0;
};

// What a sequence holds so far: what the penalties look at.
struct TokenHistory {
  std::span<const std::int32_t> prompt;
  std::span<const std::int32_t> answer;
};

class Sampler {
 public:
  // `vocabulary`: logits per call. Reserves its memory here. REQUIRES: 0 <= id < vocabulary for every bias.
  Sampler(SamplingSettings settings, std::int64_t vocabulary);

  // The token for `position` of sample number `stream`. Ties go to the lower id; NaN logits are never chosen.
  // REQUIRES: logits.size() == vocabulary, 0 <= id < vocabulary throughout the history.
  [[nodiscard]] std::int32_t choose(std::span<const float> logits, std::uint32_t stream,
                                    std::int64_t position, const TokenHistory& history = {});

 private:
  void penalize(const TokenHistory& history);
  // Each returns how many candidates are left at the front of order_ and weight_.
  std::size_t rank_candidates();
  std::size_t keep_top_p(std::size_t kept) const;
  std::size_t keep_min_p(std::size_t kept) const;
  std::size_t keep_typical(std::size_t kept);
  [[nodiscard]] double total_weight(std::size_t kept) const;

  // A candidate of keep_typical.
  struct Surprise {
    double value;  // -log p, then its distance from the entropy
    std::size_t rank;
  };

  SamplingSettings settings_;
  std::vector<double> score_;        // by id: the logit after penalties and bias
  std::vector<std::int32_t> count_;  // by id: 0 between calls of penalize
  std::vector<std::int32_t> order_;  // candidates from the most to the least likely
  std::vector<double> weight_;       // by rank: proportional to the probability
  std::vector<Surprise> surprise_;   // by rank, then by distance
};

// The most likely id, the lowest of equals.
std::int32_t most_likely(std::span<const float> logits);

// The `count` most likely ids, or all where there are fewer, in that order; of equals the lower first, NaN
// last.
std::vector<std::int32_t> most_likely(std::span<const float> logits, std::int64_t count);

}  // namespace megalith
