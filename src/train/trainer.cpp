#include "train/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "model/stored_parameters.h"
#include "train/first_bad_place.h"
#include "train/layout_rules.h"
#include "train/rate_rules.h"
#include "train/share_client.h"

namespace megalith {
namespace {

std::vector<OptimizedTensor> optimized(const Parameters& parameters, const OptimizerConfig& config) {
  std::vector<OptimizedTensor> tensors;
  for (const Parameter& p : parameters.all()) {
    if (p.master.empty()) continue;
    tensors.push_back({.gradient = p.reduced,
                       .master = p.master,
                       .first_moment = p.first_moment,
                       .second_moment = p.second_moment,
                       .working = p.rounded.data == p.master.data ? Tensor{} : p.rounded,
                       .decay = p.spec.decay,
                       .rate_factor = rate_factor(config.learning_rate_factors, p.spec.name),
                       .counted = p.counted});
  }
  return tensors;
}

AdamSettings adam_settings(const OptimizerConfig& config) {
  return {.beta1 = config.beta1,
          .beta2 = config.beta2,
          .epsilon = config.epsilon,
          .weight_decay = config.weight_decay,
          .clip = config.clip};
}

// What a checkpoint holds of the parameters.
struct SavedTensor {
  std::string name;
  const Parameter& parameter;
  const Tensor& local;
};

std::vector<SavedTensor> saved_tensors(const Parameters& parameters) {
  std::vector<SavedTensor> list;
  for (const Parameter& p : parameters.all()) {
    list.push_back({"model." + p.spec.name, p, p.master});
    list.push_back({"adam.first." + p.spec.name, p, p.first_moment});
    list.push_back({"adam.second." + p.spec.name, p, p.second_moment});
  }
  return list;
}

// With micro batches that some share fills.
TrainConfig filled(TrainConfig config, const Layout& layout) {
  config.batch.micro = sequences_at_once(config, layout);
  return config;
}

PipelineConfig with_schedule(PipelineConfig pipeline, const MakeSchedule& schedule) {
  pipeline.training_list = schedule;
  return pipeline;
}

std::optional<TensorGroup> tensor_group(const TrainConfig& config, const Mesh& mesh) {
  if (mesh.layout().tensor == 1) return std::nullopt;
  return TensorGroup(mesh.tensor(), static_cast<int>(config.model.kv_heads));
}

}  // namespace

Trainer::Trainer(const TrainConfig& config, Device& device, const Dataset& train, const Mesh& mesh,
                 const MakeSchedule& schedule)
    : config_(filled(config, mesh.layout())),
      device_(device),
      train_(train),
      mesh_(mesh),
      needs_(measure_rank(config, mesh)),
      parameters_(specs_of_rank(config, mesh), config.numerics, Parameters::Use::training,
                  {mesh.layout().tensor, mesh.place().tensor}, shard_place(config, mesh)),
      tensor_(megalith::tensor_group(config, mesh)),
      floats_(config, parameters_, mesh, device, verdict_),
      units_(device, mesh.data(), parameters_, floats_.over_data()),
      engine_(with_schedule(pipeline_config(config, mesh.layout()), schedule), mesh, device, parameters_,
              needs_.pipeline),
      adam_(optimized(parameters_, config.optimizer), adam_settings(config.optimizer)),
      schedule_(config),
      batches_(config.batch),
      log_probability_(static_cast<std::size_t>(config_.batch.micro * config_.batch.sequence)),
      source_totals_(train.source_names().size()),
      sums_(kFixedSums + 2 * source_totals_.size()) {
  for (int i = 0; i < needs_.pipeline.slots; ++i)
    buffers_.emplace_back(config_.batch.micro, config_.batch.sequence);
  if (!source_totals_.empty()) score_sources_ = [this](const MicroBatch& batch) { add_to_sources(batch); };
  requests_.reserve(parameters_.all().size());
  parameters_.initialise(config.seed, device_.num_threads());
  refresh_working();
}

StepContext Trainer::context(bool training, TensorObserver* observer) {
  const bool scores = !training || !source_totals_.empty();
  return {.device = device_,
          .profile = config_.numerics,
          .workspace = engine_.workspace(),
          .batch = {},
          .seed = config_.seed,
          .training = training,
          .z_loss = static_cast<float>(config_.optimizer.z_loss),
          .gradient_shift = gradient_shift(config_.numerics.batch_tokens_max),
          .verdict = &verdict_,
          .observer = observer,
          .log_probability = scores ? log_probability_.data() : nullptr,
          .units = &units_,
          .tensor = tensor_group()};
}

RankNeeds Trainer::used() const {
  return {.pipeline = engine_.used(),
          .parameter_bytes = parameters_.bytes(),
          .exchange_bytes = floats_.bytes_used()};
}

void Trainer::refresh_working() {
  units_.finish_weights();
  parameters_.refresh_working(device_);
  units_.weights_updated();
}

BatchShare Trainer::share_of_step(std::int64_t step) const {
  return share_of(batches_.sequences(step), sequences_per_unit(config_), mesh_.place().data,
                  mesh_.layout().data);
}

int Trainer::micro_batches(std::int64_t sequences, std::int64_t unit) const {
  const std::int64_t micro = config_.batch.micro;
  const int ranks = mesh_.layout().data;
  if (units_.in_step()) return static_cast<int>(most_micro_batches(sequences, unit, ranks, micro));
  const BatchShare share = share_of(sequences, unit, mesh_.place().data, ranks);
  return static_cast<int>(micro_batches_of(share.sequences, micro));
}

void Trainer::accumulate(std::int64_t step, TensorObserver* observer) {
  verdict_.clear();
  totals_ = {};
  std::fill(source_totals_.begin(), source_totals_.end(), LossTotals{});
  const int passes = micro_batches(batches_.sequences(step), sequences_per_unit(config_));
  units_.begin_step(passes);
  ShareClient client(train_, batches_.first_sample(step), share_of_step(step), buffers_, score_sources_);
  engine_.run(context(true, observer), client, passes, totals_);
  data_digest_ = client.digest();
  units_.finish_gradients();
  sum_shared_gradients();
}

// What data ranks do not add up: gains and biases over tokens that tensor ranks share, and a tied token table
// that both ends of a pipeline hold.
void Trainer::sum_shared_gradients() {
  requests_.clear();
  for (const Parameter& p : parameters_.all()) {
    if (!tensor_ || !p.spec.summed_over_tensor || p.reduced.empty()) continue;
    requests_.push_back(mesh_.tensor().all_reduce(p.reduced.values<std::int64_t>(), IntegerReduction::sum));
  }
  for (const Communicator::Request request : requests_) mesh_.tensor().wait(request);
  if (mesh_.ends() != nullptr && config_.model.tied_output) sum_over_ends();
}

void Trainer::sum_over_ends() {
  Communicator& ends = *mesh_.ends();
  for (const Parameter& p : parameters_.all()) {
    if (p.spec.unit != kTokenTableUnit || p.reduced.empty()) continue;
    if (p.reduced.dtype == DType::f32) {
      floats_.over_ends()->to_all(p.reduced);
      floats_.over_ends()->finish();
    } else {
      ends.wait(ends.all_reduce(p.reduced.values<std::int64_t>(), IntegerReduction::sum));
    }
  }
}

// One sum over all ranks of what the step's numbers are made of. A verdict counts as one, so a sum is an OR.
bool Trainer::sum_over_ranks() {
  const LossTotals told = tells_loss() ? totals_ : LossTotals{};
  sums_[0] = told.loss;
  sums_[1] = told.tokens;
  sums_[2] = verdict_.bad() ? 1 : 0;
  sums_[3] = tells_data() ? static_cast<std::int64_t>(data_digest_) : 0;
  for (std::size_t s = 0; s < source_totals_.size(); ++s) {
    const LossTotals of_source = tells_loss() ? source_totals_[s] : LossTotals{};
    sums_[kFixedSums + 2 * s] = of_source.loss;
    sums_[kFixedSums + 2 * s + 1] = of_source.tokens;
  }
  Communicator& world = mesh_.world();
  world.wait(world.all_reduce(sums_, IntegerReduction::sum));
  totals_ = {.loss = sums_[0], .tokens = sums_[1]};
  data_digest_ = static_cast<std::uint64_t>(sums_[3]);
  for (std::size_t s = 0; s < source_totals_.size(); ++s)
    source_totals_[s] = {.loss = sums_[kFixedSums + 2 * s], .tokens = sums_[kFixedSums + 2 * s + 1]};
  return sums_[2] > 0;
}

std::uint64_t Trainer::sum_of_digests(std::uint64_t mine) const {
  std::array<std::int64_t, 1> sum{static_cast<std::int64_t>(mine)};
  mesh_.world().wait(mesh_.world().all_reduce(sum, IntegerReduction::sum));
  return static_cast<std::uint64_t>(sum[0]);
}

std::uint64_t Trainer::data_digest(std::int64_t step) {
  ShareClient client(train_, batches_.first_sample(step), share_of_step(step), buffers_, score_sources_);
  const std::int64_t micro = config_.batch.micro;
  for (std::int64_t i = 0; i * micro < share_of_step(step).sequences; ++i) client.fill(i, 0);
  return sum_of_digests(tells_data() ? client.digest() : 0);
}

void Trainer::add_to_sources(const MicroBatch& batch) {
  for (std::int64_t i = 0; i < batch.sequences; ++i) {
    LossTotals& totals = source_totals_[train_.source_of_sample(batch.samples[i])];
    const std::int64_t begin = i * batch.sequence;
    device_.loss().sum({.log_probability = Tensor(&log_probability_[static_cast<std::size_t>(begin)],
                                                  DType::f32, {batch.sequence}),
                        .loss_mask = batch.loss_mask + begin,
                        .sum = &totals.loss,
                        .count = &totals.tokens,
                        .verdict = &verdict_});
  }
}

std::vector<Validation> Trainer::loss_of_sources() const {
  std::vector<Validation> losses;
  for (const LossTotals& totals : source_totals_) {
    const auto tokens = static_cast<double>(std::max<std::int64_t>(totals.tokens, 1));
    losses.push_back(
        {.loss = static_cast<double>(totals.loss) * 0x1p-32 / tokens, .loss_tokens = totals.tokens});
  }
  return losses;
}

std::string Trainer::first_bad_place(std::int64_t step) {
  FirstBadPlace observer(device_, verdict_, config_.model.layers);
  accumulate(step, &observer);
  return observer.agree(mesh_.world());
}

StepResult Trainer::run_step(std::int64_t step) {
  StepResult result{.step = step, .learning_rate = schedule_.at(step)};
  accumulate(step, nullptr);
  const bool bad = sum_over_ranks();
  result.data_digest = data_digest_;
  result.loss_tokens = totals_.tokens;
  const std::int64_t divisor = std::max<std::int64_t>(totals_.tokens, 1);
  result.loss = static_cast<double>(totals_.loss) * 0x1p-32 / static_cast<double>(divisor);
  const GradientScale scale{.shift = gradient_shift(config_.numerics.batch_tokens_max), .divisor = divisor};
  if (bad) {
    result.skipped = true;
    result.loss = 0;
    result.bad = first_bad_place(step);
  } else {
    result.gradient_norm = adam_.gradient_norm(device_, scale, mesh_.world());
    if (totals_.tokens > 0) {
      units_.finish_weights();
      adam_.update(device_, scale, result.gradient_norm, result.learning_rate, step + 1);
      units_.weights_updated();
    }
  }
  result.parameter_digest = sum_of_digests(parameters_.digest(device_));
  return result;
}

const std::vector<float>& Trainer::evaluate(const MicroBatch& batch) {
  class OneBatch final : public PipelineClient {
   public:
    explicit OneBatch(const MicroBatch& batch) : batch_(batch) {}
    const MicroBatch& fill(std::int64_t, int) override { return batch_; }

   private:
    const MicroBatch& batch_;
  };
  OneBatch client(batch);
  engine_.evaluate(context(false), client, 1);
  Communicator& stages = mesh_.pipeline();
  stages.wait(stages.broadcast(std::as_writable_bytes(std::span(log_probability_)), stages.size() - 1));
  return log_probability_;
}

Validation Trainer::validate(const Dataset& held_out, std::int64_t sequences) {
  verdict_.clear();
  LossTotals totals;
  const std::function<void(const MicroBatch&)> add = [&](const MicroBatch& batch) {
    device_.loss().sum({.log_probability = Tensor(log_probability_.data(), DType::f32, {batch.tokens()}),
                        .loss_mask = batch.loss_mask,
                        .sum = &totals.loss,
                        .count = &totals.tokens,
                        .verdict = &verdict_});
  };
  const BatchShare share = share_of(sequences, 1, mesh_.place().data, mesh_.layout().data);
  ShareClient client(held_out, 0, share, buffers_, add);
  const int passes = micro_batches(sequences, 1);
  if (passes > 0) engine_.evaluate(context(false), client, passes);
  std::array<std::int64_t, 2> sums{tells_loss() ? totals.loss : 0, tells_loss() ? totals.tokens : 0};
  mesh_.world().wait(mesh_.world().all_reduce(sums, IntegerReduction::sum));
  const auto divisor = static_cast<double>(std::max<std::int64_t>(sums[1], 1));
  return {.loss = static_cast<double>(sums[0]) * 0x1p-32 / divisor, .loss_tokens = sums[1]};
}

Expected<void> Trainer::begin_with(const InitialWeights& weights) {
  units_.finish_weights();
  if (Expected<void> loaded = weights.load(parameters_); !loaded) return loaded;
  refresh_working();
  return {};
}

void Trainer::save(CheckpointWriter& writer) const {
  for (const SavedTensor& saved : saved_tensors(parameters_))
    add_pieces(writer, saved.name, saved.parameter, saved.local);
}

Expected<void> Trainer::load(const Checkpoint& checkpoint) {
  units_.finish_weights();
  for (const SavedTensor& saved : saved_tensors(parameters_)) {
    Expected<void> loaded = load_pieces(checkpoint, saved.name, saved.parameter, saved.local);
    if (!loaded) return loaded;
  }
  refresh_working();
  return {};
}

}  // namespace megalith
