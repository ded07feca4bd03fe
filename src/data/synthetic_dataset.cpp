#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/philox.h"
#include "data/dataset.h"

namespace megalith {
namespace {

// Sample numbers of the two kinds. They never meet: a training index beyond its range starts the next epoch.
constexpr std::int64_t kTrainingSamples = std::int64_t{1} << 40;
constexpr std::int64_t kHeldOutSamples = 256;
constexpr std::int64_t kFirstHeldOut = std::int64_t{1} << 41;

// The last counter word: what is drawn. The word before it is the use, the first two are the argument.
constexpr std::uint32_t kGrammar = 0xffffffffu;  // above the high half of any sample number

constexpr std::int64_t kCopyDistance = 8;

// Chances out of 256 of each way to choose a token.
constexpr std::uint32_t kCopy = 64;
constexpr std::uint32_t kUniform = 16;

std::int32_t scaled(std::uint32_t draw, std::int64_t vocabulary) {
  return static_cast<std::int32_t>((std::uint64_t{draw} * static_cast<std::uint64_t>(vocabulary)) >> 32);
}

class SyntheticDataset final : public Dataset {
 public:
  SyntheticDataset(std::int64_t vocabulary, std::int64_t sequence, std::uint64_t seed, bool held_out)
      : vocabulary_(vocabulary), sequence_(sequence), key_(philox_key(seed)), held_out_(held_out) {
    MEGALITH_CHECK(vocabulary >= 1 && vocabulary <= std::int64_t{1} << 31, "vocabulary {}", vocabulary);
    MEGALITH_CHECK(sequence >= 1, "sequence {}", sequence);
  }

  void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override {
    const std::int64_t sample = sample_of(sample_index);
    for (std::int64_t i = 0; i < sequence_; ++i) ids[i] = next_token(sample, i, ids);
    std::copy(ids + 1, ids + sequence_, targets);
    targets[sequence_ - 1] = next_token(sample, sequence_, ids);
    std::fill(loss_mask, loss_mask + sequence_, std::uint8_t{1});
    std::fill(document_start, document_start + sequence_, 0);
  }

  [[nodiscard]] std::int64_t samples_per_epoch() const override {
    return held_out_ ? kHeldOutSamples : kTrainingSamples;
  }

  [[nodiscard]] std::string describe_sample(std::int64_t sample_index) const override {
    return fmt::format("epoch {}, {} sample {} of the synthetic language", sample_index / samples_per_epoch(),
                       held_out_ ? "held-out" : "training", sample_index % samples_per_epoch());
  }

 private:
  [[nodiscard]] std::int64_t sample_of(std::int64_t sample_index) const {
    MEGALITH_CHECK(sample_index >= 0, "sample {}", sample_index);
    return sample_index % samples_per_epoch() + (held_out_ ? kFirstHeldOut : 0);
  }

  // Token i of a sample, from those before it.
  [[nodiscard]] std::int32_t next_token(std::int64_t sample, std::int64_t i,
                                        const std::int32_t* before) const {
    const auto [way, which, uniform, unused] =
        philox({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(sample),
                static_cast<std::uint32_t>(RandomUse::synthetic), static_cast<std::uint32_t>(sample >> 32)},
               key_);
    const std::uint32_t chance = way >> 24;
    if (i == 0 || chance < kUniform) return scaled(uniform, vocabulary_);
    if (i >= kCopyDistance && chance < kUniform + kCopy) return before[i - kCopyDistance];
    return successor(before[i - 1], which >> 29);
  }

  // Every token has four likely successors, of chances 1/2, 1/4, 1/8 and 1/8. `eighth` is 0..7.
  [[nodiscard]] std::int32_t successor(std::int32_t token, std::uint32_t eighth) const {
    const PhiloxCounter drawn = philox(
        {static_cast<std::uint32_t>(token), 0, static_cast<std::uint32_t>(RandomUse::synthetic), kGrammar},
        key_);
    constexpr std::array<std::uint8_t, 8> kChoice = {0, 0, 0, 0, 1, 1, 2, 3};
    return scaled(drawn[kChoice[eighth]], vocabulary_);
  }

  std::int64_t vocabulary_;
  std::int64_t sequence_;
  PhiloxKey key_;
  bool held_out_;
};

}  // namespace

std::unique_ptr<Dataset> make_synthetic_dataset(std::int64_t vocabulary, std::int64_t sequence,
                                                std::uint64_t seed, bool held_out) {
  return std::make_unique<SyntheticDataset>(vocabulary, sequence, seed, held_out);
}

}  // namespace megalith
