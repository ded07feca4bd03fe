#include "data/sample_order.h"

#include "core/error.h"
#include "core/philox.h"

namespace megalith {

namespace {
constexpr std::uint32_t kRounds = 8;
}

SampleOrder::SampleOrder(std::uint64_t seed, std::int64_t num_samples)
    : seed_(seed), num_samples_(num_samples), half_bits_(1) {
  MEGALITH_CHECK(num_samples >= 1, "{} samples", num_samples);
  const auto largest = static_cast<std::uint64_t>(num_samples - 1);
  while (half_bits_ < 32 && (largest >> (2 * half_bits_)) != 0) ++half_bits_;
}

// A balanced Feistel network: a bijection whatever the round function is.
std::uint64_t SampleOrder::permute(std::uint64_t value, std::uint64_t epoch) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  auto left = static_cast<std::uint32_t>(value >> half_bits_);
  auto right = static_cast<std::uint32_t>(value & mask);
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    const PhiloxCounter drawn =
        philox({right, round ^ static_cast<std::uint32_t>((epoch >> 32) << 4),
                static_cast<std::uint32_t>(RandomUse::data_order), static_cast<std::uint32_t>(epoch)},
               philox_key(seed_));
    const std::uint32_t next = left ^ static_cast<std::uint32_t>(drawn[0] & mask);
    left = right;
    right = next;
  }
  return (std::uint64_t{left} << half_bits_) | right;
}

std::int64_t SampleOrder::slot(std::int64_t index) const {
  MEGALITH_CHECK(index >= 0, "sample {}", index);
  const auto count = static_cast<std::uint64_t>(num_samples_);
  const std::uint64_t epoch = static_cast<std::uint64_t>(index) / count;
  std::uint64_t value = static_cast<std::uint64_t>(index) % count;
  // The network permutes up to four times as many numbers: walk its cycle until back inside. The walk ends
  // because `value` itself is inside and on the cycle.
  do {
    value = permute(value, epoch);
  } while (value >= count);
  return static_cast<std::int64_t>(value);
}

}  // namespace megalith
