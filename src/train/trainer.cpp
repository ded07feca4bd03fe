#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/digest.h"
#include "model/stored_parameters.h"
#include "train/rate_rules.h"

namespace megalith {
namespace {

std::vector<OptimizedTensor> optimized(const Parameters& parameters, const OptimizerConfig& config) {
  std::vector<OptimizedTensor> tensors;
  for (const Parameter& p : parameters.all()) {
    tensors.push_back({.gradient = p.gradient,
                       .master = p.master,
                       .first_moment = p.first_moment,
                       .second_moment = p.second_moment,
                       .working = p.working.data == p.master.data ? Tensor{} : p.working,
                       .decay = p.spec.decay,
                       .rate_factor = rate_factor(config.learning_rate_factors, p.spec.name)});
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

// Names where a step first went wrong: a tensor that is not finite, or a loss or gradient contribution out of
// range. First means in the order of one micro batch, whichever of them it was, so that the name does not
// depend on how the batch is cut.
class FirstBadPlace final : public TensorObserver {
 public:
  FirstBadPlace(Device& device, Verdict& verdict) : device_(device), verdict_(verdict) {}
  void observe(int layer, std::string_view operation, Direction direction, const Tensor& tensor) override {
    const std::size_t place = index_of({layer, operation, direction});
    const bool finite = device_.optimizer().all_finite(tensor);
    if (finite && !verdict_.bad()) return;
    verdict_.clear();  // the next micro batch has one of its own
    if (place > first_ || (place == first_ && finite)) return;
    first_ = place;
    finite_ = finite;
  }
  // REQUIRES: a bad place was observed.
  [[nodiscard]] std::string name() const {
    const Place& place = places_.at(first_);
    const std::string layer = place.layer >= 0    ? fmt::format("layer {}", place.layer)
                              : place.layer == -1 ? "start"
                                                  : "head";
    return fmt::format("{} {} {}: {}", layer, place.operation,
                       place.direction == Direction::forward ? "forward" : "backward",
                       finite_ ? "a loss or gradient contribution out of range just before" : "not finite");
  }

 private:
  struct Place {
    int layer;
    std::string_view operation;
    Direction direction;
    bool operator==(const Place&) const = default;
  };
  std::size_t index_of(const Place& place) {
    const auto found = std::find(places_.begin(), places_.end(), place);
    const auto index = static_cast<std::size_t>(found - places_.begin());
    if (found == places_.end()) places_.push_back(place);
    return index;
  }

  Device& device_;
  Verdict& verdict_;
  std::vector<Place> places_;  // in the order of the first micro batch, which passes all of them
  std::size_t first_ = SIZE_MAX;
  bool finite_ = false;
};

}  // namespace

Trainer::Trainer(const TrainConfig& config, Device& device, const Dataset& train)
    : config_(config),
      device_(device),
      train_(train),
      needs_(measure_micro_batch(config.model, config.numerics, config.batch.micro, config.batch.sequence)),
      parameters_(Transformer::specs(config.model, config.numerics), config.numerics.compute,
                  Parameters::Use::training),
      transformer_(config.model, config.numerics, parameters_),
      adam_(optimized(parameters_, config.optimizer), adam_settings(config.optimizer)),
      schedule_(config),
      batches_(config.batch),
      stash_arena_("activations", needs_.stash_bytes),
      workspace_("workspace", needs_.workspace_bytes),
      stash_(stash_arena_, transformer_.stash_depth()),
      buffers_(config.batch.micro, config.batch.sequence),
      log_probability_(static_cast<std::size_t>(config.batch.micro * config.batch.sequence)),
      source_totals_(train.source_names().size()) {
  parameters_.initialise(config.seed, device_.num_threads());
  parameters_.refresh_working(device_);
}

StepContext Trainer::context(const MicroBatch& batch, bool training, TensorObserver* observer) {
  return {.device = device_,
          .profile = config_.numerics,
          .workspace = workspace_,
          .batch = batch,
          .seed = config_.seed,
          .training = training,
          .z_loss = static_cast<float>(config_.optimizer.z_loss),
          .gradient_shift = gradient_shift(config_.numerics.batch_tokens_max),
          .verdict = &verdict_,
          .observer = observer,
          .log_probability = training && !source_totals_.empty() ? log_probability_.data() : nullptr};
}

LossTotals Trainer::accumulate(std::int64_t step, TensorObserver* observer, std::uint64_t* data_digest) {
  verdict_.clear();
  parameters_.zero_gradients(device_);
  LossTotals totals;
  std::fill(source_totals_.begin(), source_totals_.end(), LossTotals{});
  const std::int64_t first_sample = batches_.first_sample(step);
  for (std::int64_t i = 0; i < batches_.sequences(step); i += config_.batch.micro) {
    const MicroBatch& batch = buffers_.fill(train_, first_sample + i, config_.batch.micro);
    if (data_digest != nullptr) *data_digest += buffers_.digest(config_.batch.micro);
    transformer_.forward_backward(context(batch, true, observer), stash_, totals);
    if (!source_totals_.empty()) add_to_sources(batch);
  }
  return totals;
}

std::uint64_t Trainer::data_digest(std::int64_t step) {
  std::uint64_t digest = 0;
  for (std::int64_t i = 0; i < batches_.sequences(step); i += config_.batch.micro) {
    buffers_.fill(train_, batches_.first_sample(step) + i, config_.batch.micro);
    digest += buffers_.digest(config_.batch.micro);
  }
  return digest;
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
  FirstBadPlace observer(device_, verdict_);
  accumulate(step, &observer, nullptr);
  return observer.name();
}

StepResult Trainer::run_step(std::int64_t step) {
  StepResult result{.step = step, .learning_rate = schedule_.at(step)};
  const LossTotals totals = accumulate(step, nullptr, &result.data_digest);
  result.loss_tokens = totals.tokens;
  const std::int64_t divisor = std::max<std::int64_t>(totals.tokens, 1);
  result.loss = static_cast<double>(totals.loss) * 0x1p-32 / static_cast<double>(divisor);
  const GradientScale scale{.shift = gradient_shift(config_.numerics.batch_tokens_max), .divisor = divisor};
  if (!verdict_.bad()) result.gradient_norm = adam_.gradient_norm(device_, scale);
  if (verdict_.bad()) {
    result.skipped = true;
    result.loss = 0;
    result.bad = first_bad_place(step);
  } else if (totals.tokens > 0) {
    adam_.update(device_, scale, result.gradient_norm, result.learning_rate, step + 1);
  }
  result.parameter_digest = parameters_.digest(device_);
  return result;
}

const std::vector<float>& Trainer::evaluate(const MicroBatch& batch) {
  transformer_.evaluate(context(batch, false), stash_,
                        Tensor(log_probability_.data(), DType::f32, {batch.tokens()}));
  return log_probability_;
}

Validation Trainer::validate(const Dataset& held_out, std::int64_t sequences) {
  verdict_.clear();
  Validation result;
  std::int64_t loss = 0;
  for (std::int64_t first = 0; first < sequences; first += config_.batch.micro) {
    const MicroBatch& batch =
        buffers_.fill(held_out, first, std::min(config_.batch.micro, sequences - first));
    evaluate(batch);
    device_.loss().sum({.log_probability = Tensor(log_probability_.data(), DType::f32, {batch.tokens()}),
                        .loss_mask = batch.loss_mask,
                        .sum = &loss,
                        .count = &result.loss_tokens,
                        .verdict = &verdict_});
  }
  result.loss = static_cast<double>(loss) * 0x1p-32 /
                static_cast<double>(std::max<std::int64_t>(result.loss_tokens, 1));
  return result;
}

Expected<void> Trainer::begin_with(const InitialWeights& weights) {
  if (Expected<void> loaded = weights.load(parameters_); !loaded) return loaded;
  parameters_.refresh_working(device_);
  return {};
}

void Trainer::save(CheckpointWriter& writer) const {
  for (const SavedTensor& saved : saved_tensors(parameters_))
    add_pieces(writer, saved.name, saved.parameter, saved.local);
}

Expected<void> Trainer::load(const Checkpoint& checkpoint) {
  for (const SavedTensor& saved : saved_tensors(parameters_)) {
    Expected<void> loaded = load_pieces(checkpoint, saved.name, saved.parameter, saved.local);
    if (!loaded) return loaded;
  }
  parameters_.refresh_working(device_);
  return {};
}

}  // namespace megalith
