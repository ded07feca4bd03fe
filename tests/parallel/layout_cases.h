// The factors that a run may be laid out by, as small models and data that have each.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "data/dataset.h"
#include "device/device.h"
#include "parallel/pairwise.h"
#include "train/train_config.h"

namespace megalith::test {

// Documents that end anywhere, targets that do not count, wholly masked sequences, as asked: a pure function
// of the sample.
class MadeUpDataset final : public Dataset {
 public:
  MadeUpDataset(std::int64_t vocabulary, std::int64_t sequence, bool ragged, bool packed)
      : vocabulary_(vocabulary), sequence_(sequence), ragged_(ragged), packed_(packed) {}
  void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override;
  [[nodiscard]] std::int64_t samples_per_epoch() const override { return 1000; }
  [[nodiscard]] std::string describe_sample(std::int64_t) const override { return "made up"; }

 private:
  std::int64_t vocabulary_;
  std::int64_t sequence_;
  bool ragged_;
  bool packed_;
};

struct LayoutCase {
  TrainConfig config;
  std::unique_ptr<Dataset> data;
  int threads = 1;
};

// Rows of the covering test over so many ranks at most; which of them are legal is what train/layout_rules.h
// says, and that keys which make no difference have one value.
inline constexpr std::int64_t kMostRanks = 32;
PairwiseDesign layout_design(std::int64_t most_ranks = kMostRanks);
// What the covering test runs: the rows of that design, and those of one over few ranks, which has the pairs
// that few ranks can have once more, in other company.
std::vector<Row> all_layout_rows();
LayoutCase layout_case(const Row& row);

// A small resolved config to lay out: 8 layers of 32, 8 heads, sequences of 64 tokens, 8 a step.
TrainConfig small_layout_config(const std::string& shape = "gpt", std::int64_t vocabulary = 509);

// One rank's device for the processor here.
std::unique_ptr<Device> device_of_rank(int threads);

}  // namespace megalith::test
