#include "infer/generator.h"

#include <algorithm>
#include <cstring>

#include "device/sim/simulated_device.h"

namespace megalith {
namespace {

constexpr std::int64_t kPrefillRows = 128;  // tokens of one prefill call; the bits do not depend on it

std::size_t workspace_bytes(const CachedModel& present, const NumericsProfile& profile, std::int64_t rows) {
  const CachedModel model = present.simulated();
  const std::unique_ptr<sim::SimulatedDevice> device = sim::make_device();
  Arena workspace = Arena::measuring("generation workspace");
  Arena buffers = Arena::measuring("logits");
  CachedModel::Cache cache = model.make_cache(profile.compute, 1, 1);
  const MicroBatch batch;
  const StepContext step{.device = *device, .profile = profile, .workspace = workspace, .batch = batch};
  const Tensor logits = buffers.allocate(DType::f32, {rows, model.padded_vocabulary()});
  model.forward(step, nullptr, {.rows = rows}, cache, 0, logits);
  return workspace.peak();
}

// Rows that tensor ranks cannot share evenly go to all of them, so one row less may need more.
std::size_t most_workspace_bytes(const CachedModel& model, const NumericsProfile& profile,
                                 std::int64_t rows) {
  const std::size_t bytes = workspace_bytes(model, profile, rows);
  return rows == 1 ? bytes : std::max(bytes, workspace_bytes(model, profile, rows - 1));
}

std::int64_t cache_capacity(const CachedModel& model, std::int64_t wanted) {
  const std::int64_t longest = model.config().sequence;
  return wanted == 0 ? longest : std::min(wanted, longest);
}

}  // namespace

Generator::Generator(Device& device, const CachedModel& model, const NumericsProfile& profile,
                     std::int64_t slots, std::int64_t capacity)
    : device_(device),
      model_(model),
      profile_(profile),
      slots_(slots),
      capacity_(cache_capacity(model, capacity)),
      cache_(model.make_cache(profile.compute, slots, capacity_)),
      most_rows_(std::max(kPrefillRows, slots)),
      workspace_("generation workspace", most_workspace_bytes(model, profile, most_rows_)),
      buffers_("logits", static_cast<std::size_t>(most_rows_ * (model.padded_vocabulary() + 2)) * 4 + 256),
      logits_(buffers_.allocate(DType::f32, {most_rows_, model.padded_vocabulary()})),
      slot_(static_cast<std::size_t>(most_rows_)),
      position_(static_cast<std::size_t>(most_rows_)) {}

StepContext Generator::step(Arena& workspace) const {
  return {.device = device_, .profile = profile_, .workspace = workspace, .batch = no_batch_};
}

void Generator::forget() {
  for (const KeyValueCache& part : cache_) {
    for (const LayerCache& layer : part.layers) {
      device_.optimizer().zero(layer.keys);
      device_.optimizer().zero(layer.values);
    }
  }
  length_ = 0;
}

void Generator::extend(std::span<const std::int32_t> ids, std::int64_t first, std::int32_t slot,
                       std::int64_t want_logits) {
  const auto rows = static_cast<std::int64_t>(ids.size());
  MEGALITH_CHECK(rows <= most_rows_ && first + rows <= capacity_, "{} rows from {}", rows, first);
  for (std::int64_t r = 0; r < rows; ++r) {
    slot_[static_cast<std::size_t>(r)] = slot;
    position_[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(first + r);
  }
  const std::int64_t wanted = std::max<std::int64_t>(rows - want_logits, 0);
  model_.forward(step(workspace_), ids.data(),
                 {.rows = rows, .slot = slot_.data(), .position = position_.data()}, cache_, want_logits,
                 logits_.row_slice(0, wanted));
}

void Generator::score_rows(std::span<const std::int32_t> targets, float* log_probability) {
  const auto rows = static_cast<std::int64_t>(targets.size());
  const ArenaScope scope(buffers_);
  device_.loss().forward(CrossEntropyForward{
      .shape = {.vocabulary = vocabulary(), .leaves = profile_.tree, .vocab_block = profile_.vocab_block},
      .logits = logits_.row_slice(0, rows),
      .targets = targets.data(),
      .log_probability = Tensor(log_probability, DType::f32, {rows}),
      .log_sum_exp = buffers_.allocate(DType::f32, {rows, 2})});
}

std::vector<float> Generator::score(std::span<const std::int32_t> ids) {
  MEGALITH_CHECK(!ids.empty() && static_cast<std::int64_t>(ids.size()) <= context(), "{} tokens", ids.size());
  forget();
  std::vector<float> log_probability(ids.size() - 1);
  for (std::size_t begin = 0; begin < log_probability.size();) {
    const std::size_t rows = std::min(static_cast<std::size_t>(most_rows_), log_probability.size() - begin);
    extend(ids.subspan(begin, rows), static_cast<std::int64_t>(begin), 0, 0);
    score_rows(ids.subspan(begin + 1, rows), log_probability.data() + begin);
    begin += rows;
  }
  return log_probability;
}

void Generator::prefill(std::span<const std::int32_t> prompt, std::int64_t num_slots) {
  MEGALITH_CHECK(!prompt.empty() && static_cast<std::int64_t>(prompt.size()) <= context(), "{} tokens",
                 prompt.size());
  MEGALITH_CHECK(num_slots >= 1 && num_slots <= slots_, "{} of {} slots", num_slots, slots_);
  forget();
  num_active_ = num_slots;
  for (std::int64_t slot = 0; slot < num_slots; ++slot) {
    for (std::size_t begin = 0; begin < prompt.size();) {
      const std::size_t rows = std::min(static_cast<std::size_t>(most_rows_), prompt.size() - begin);
      const bool last = begin + rows == prompt.size();
      extend(prompt.subspan(begin, rows), static_cast<std::int64_t>(begin), static_cast<std::int32_t>(slot),
             static_cast<std::int64_t>(last ? rows - 1 : rows));
      begin += rows;
    }
  }
  for (std::int64_t slot = 1; slot < num_slots; ++slot) {
    std::memcpy(logits_.row<float>(slot), logits_.row<float>(0),
                static_cast<std::size_t>(logits_.columns()) * sizeof(float));
  }
  length_ = static_cast<std::int64_t>(prompt.size());
}

void Generator::decode(std::span<const std::int32_t> ids) {
  MEGALITH_CHECK(static_cast<std::int64_t>(ids.size()) == num_active_ && length_ < context(), "{} ids at {}",
                 ids.size(), length_);
  for (std::size_t r = 0; r < ids.size(); ++r) {
    slot_[r] = static_cast<std::int32_t>(r);
    position_[r] = static_cast<std::int32_t>(length_);
  }
  model_.forward(step(workspace_), ids.data(),
                 {.rows = num_active_, .slot = slot_.data(), .position = position_.data()}, cache_, 0,
                 logits_.row_slice(0, num_active_));
  ++length_;
}

std::span<const float> Generator::logits(std::int64_t slot) const {
  MEGALITH_CHECK(slot < num_active_, "slot {} of {}", slot, num_active_);
  return {logits_.row<float>(slot), static_cast<std::size_t>(vocabulary())};
}

float Generator::log_probability(std::int64_t slot, std::int32_t id) {
  MEGALITH_CHECK(slot < num_active_ && id >= 0 && id < vocabulary(), "slot {}, id {}", slot, id);
  const ArenaScope scope(buffers_);
  float result = 0;
  device_.loss().forward(CrossEntropyForward{
      .shape = {.vocabulary = vocabulary(), .leaves = profile_.tree, .vocab_block = profile_.vocab_block},
      .logits = logits_.row_slice(slot, 1),
      .targets = &id,
      .log_probability = Tensor(&result, DType::f32, {1}),
      .log_sum_exp = buffers_.allocate(DType::f32, {1, 2})});
  return result;
}

}  // namespace megalith
