// One training step after another: data in, parameters changed, numbers out. Nothing here asks the clock or
// writes a file; train/loop.h does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "data/dataset.h"
#include "optim/adam.h"
#include "pipeline/cached_model.h"
#include "pipeline/engine.h"
#include "run/checkpoint.h"
#include "train/batch_buffers.h"
#include "train/batch_schedule.h"
#include "train/batch_share.h"
#include "train/float_exchange.h"
#include "train/initial_weights.h"
#include "train/learning_rate.h"
#include "train/rank_plan.h"
#include "train/train_config.h"
#include "train/unit_sharing.h"

namespace megalith {

struct StepResult {
  std::int64_t step = 0;     // 0-based
  double loss = 0;           // mean nats per loss token
  double gradient_norm = 0;  // of the mean gradient, before clipping
  double learning_rate = 0;
  std::int64_t loss_tokens = 0;        // that counted
  bool skipped = false;                // parameters unchanged: something was not finite or out of range
  std::string bad;                     // where: "layer 3 feed_forward.up forward: not finite"
  std::uint64_t parameter_digest = 0;  // after the step
  std::uint64_t data_digest = 0;       // of the global batch
};

// Mean loss over held-out sequences, or over those of one source in a step.
struct Validation {
  double loss = 0;  // nats per loss token
  std::int64_t loss_tokens = 0;
};

class Trainer {
 public:
  // One rank of the mesh's layout, which is legal for the config (train/layout_rules.h). All outlive the
  // trainer. Draws initial parameters. Whatever is not const is collective: every rank of the mesh calls it,
  // with the same arguments, and gets the same results.
  // `schedule` is what stages obey.
  Trainer(const TrainConfig& config, Device& device, const Dataset& train, const Mesh& mesh,
          const MakeSchedule& schedule = training_schedule);
  // One rank alone.
  Trainer(const TrainConfig& config, Device& device, const Dataset& train)
      : Trainer(config, device, train, std::make_unique<Mesh>()) {}

  // Runs 0-based `step`. The same step on the same parameters gives the same bits, always.
  StepResult run_step(std::int64_t step);
  // Of each of the training set's source_names() in the last step, which must have been no bad one.
  [[nodiscard]] std::vector<Validation> loss_of_sources() const;
  // Loss of the first `sequences` samples of a held-out set, in their own order.
  Validation validate(const Dataset& held_out, std::int64_t sequences);
  // Sequences of a micro batch.
  [[nodiscard]] std::int64_t sequences_at_once() const { return config_.batch.micro; }
  // Log-probability of every target of the batch, dropout off; padded to the micro batch's shape.
  const std::vector<float>& evaluate(const MicroBatch& batch);

  // After a change to master weights: what layers read follows.
  void refresh_working();
  // The weights that train.init names instead of random ones. Before the first step.
  Expected<void> begin_with(const InitialWeights& weights);
  // What this rank counts of the parameters and the optimizer's state: all ranks together add each tensor
  // once.
  void save(CheckpointWriter& writer) const;
  // Parameters and optimizer state of a checkpoint written by save() for the same model, in any layout.
  Expected<void> load(const Checkpoint& checkpoint);

  // What the ledger's line of a step says of its batch, read again; `step` counts from 0.
  [[nodiscard]] std::uint64_t data_digest(std::int64_t step);

  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  // The model for generation, with the present parameters. Over ranks what uses it is collective, as a step
  // is.
  [[nodiscard]] CachedModel cached_model() { return {engine_.chunks(), mesh_, tensor_group(), &units_}; }
  [[nodiscard]] const RankNeeds& needs() const { return needs_; }
  [[nodiscard]] RankNeeds used() const;  // so far
  [[nodiscard]] Device& device() const { return device_; }
  [[nodiscard]] const Mesh& mesh() const { return mesh_; }
  // For who uses the transformer without the trainer: what StepContext is told.
  [[nodiscard]] UnitGate& units() { return units_; }
  [[nodiscard]] const TensorGroup* tensor_group() const { return tensor_ ? &*tensor_ : nullptr; }

 private:
  Trainer(const TrainConfig& config, Device& device, const Dataset& train, std::unique_ptr<Mesh> mesh)
      : Trainer(config, device, train, *mesh) {
    own_mesh_ = std::move(mesh);
  }
  [[nodiscard]] StepContext context(bool training, TensorObserver* observer = nullptr);
  [[nodiscard]] BatchShare share_of_step(std::int64_t step) const;
  // This rank's number for its share of so many sequences, dealt out in units.
  [[nodiscard]] int micro_batches(std::int64_t sequences, std::int64_t unit) const;
  void accumulate(std::int64_t step, TensorObserver* observer);
  void add_to_sources(const MicroBatch& batch);
  void sum_shared_gradients();
  void sum_over_ends();
  bool sum_over_ranks();  // true: some rank's verdict is bad
  [[nodiscard]] std::uint64_t sum_of_digests(std::uint64_t mine) const;
  std::string first_bad_place(std::int64_t step);
  // Of the ranks that hold a copy of a micro batch, one says what was read and one what came out.
  [[nodiscard]] bool tells_data() const { return mesh_.first_stage() && mesh_.place().tensor == 0; }
  [[nodiscard]] bool tells_loss() const { return mesh_.last_stage() && mesh_.place().tensor == 0; }

  static constexpr std::size_t kFixedSums = 4;

  std::unique_ptr<Mesh> own_mesh_;  // of one rank alone
  TrainConfig config_;
  Device& device_;
  const Dataset& train_;
  const Mesh& mesh_;
  RankNeeds needs_;
  Parameters parameters_;
  std::optional<TensorGroup> tensor_;  // where matrices are shared
  FloatExchange floats_;
  UnitSharing units_;
  PipelineEngine engine_;
  Adam adam_;
  LearningRateSchedule schedule_;
  BatchSchedule batches_;
  std::vector<BatchBuffers> buffers_;  // one per micro batch in flight
  Verdict verdict_;
  std::vector<float> log_probability_;
  std::function<void(const MicroBatch&)> score_sources_;  // empty where there are no sources
  // Of this step, first this rank's and then all ranks'.
  LossTotals totals_;
  std::vector<LossTotals> source_totals_;  // none where the training set has no sources
  std::uint64_t data_digest_ = 0;
  std::vector<std::int64_t> sums_;  // on their way
  std::vector<Communicator::Request> requests_;
};

}  // namespace megalith
