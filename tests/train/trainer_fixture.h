// A small training run over samples held in memory, and what a step may change, to compare by bits.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "model/model_fixture.h"
#include "train/trainer.h"
#include "train/watched_device.h"

namespace megalith::test {

inline constexpr std::int64_t kSamples = 4;  // of the global batch
inline constexpr std::int64_t kTokens = 32;  // of a sample

// The sequences of a batch over and over, so that every step is over the same data.
class RepeatedBatch : public Dataset {
 public:
  explicit RepeatedBatch(Batch batch) : batch_(std::move(batch)) {}
  void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override {
    const MicroBatch row = batch_.micro(sample_index % batch_.sequences, 1);
    std::copy_n(row.ids, row.sequence, ids);
    std::copy_n(row.targets, row.sequence, targets);
    std::copy_n(row.loss_mask, row.sequence, loss_mask);
    std::copy_n(row.document_start, row.sequence, document_start);
  }
  [[nodiscard]] std::int64_t samples_per_epoch() const override { return batch_.sequences; }
  [[nodiscard]] std::string describe_sample(std::int64_t) const override { return "held in memory"; }

 private:
  Batch batch_;
};

// Sample 1 is wholly masked. Ids 59 and 60 occur nowhere.
inline Batch small_batch() {
  return random_batch(kSamples, kTokens, 59);
}

inline TrainConfig small_run(std::int64_t micro, DType compute = DType::bf16) {
  TrainConfig config;
  config.model = small_model();
  config.model.sequence = kTokens;
  config.model.tied_output = false;
  config.numerics = small_profile(compute, kTokens);
  config.numerics.batch_tokens_max = kSamples * kTokens;
  config.batch = {.global = kSamples, .micro = micro, .sequence = kTokens};
  config.schedule.steps = 100;
  config.schedule.decay = LearningRateDecay::constant;
  return config;
}

struct SmallTraining {
  explicit SmallTraining(const TrainConfig& config, int num_threads = 1, Batch batch = small_batch())
      : device(num_threads), data(std::move(batch)), trainer(config, device, data) {}

  [[nodiscard]] const Parameter& parameter(const std::string& name) const {
    return trainer.parameters().named(name);
  }
  // Writes one element of a parameter, also as the model reads it. Returns what stood there.
  float plant(const std::string& name, std::int64_t element, float value) {
    const Parameter& p = parameter(name);
    const float before = std::exchange(p.master.as<float>()[element], value);
    if (p.working.data != p.master.data) device.optimizer().cast({.from = p.master, .to = p.working});
    return before;
  }
  // Every byte of parameters and optimizer state.
  [[nodiscard]] std::string state() const {
    std::string bytes;
    for (const Parameter& p : trainer.parameters().all()) {
      for (const Tensor& t : {p.master, p.working, p.first_moment, p.second_moment}) {
        bytes.append(static_cast<const char*>(t.data),
                     static_cast<std::size_t>(t.count()) * size_of(t.dtype));
      }
    }
    return bytes;
  }

  WatchedDevice device;
  RepeatedBatch data;
  Trainer trainer;
};

}  // namespace megalith::test
