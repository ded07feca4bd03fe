#include "train/train_config.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/load.h"
#include "config/nearest.h"
#include "train/alternatives.h"
#include "train/batch_schedule.h"
#include "train/blend_entry.h"
#include "train/divisors.h"
#include "train/grain_rules.h"
#include "train/initial_weights.h"
#include "train/ramp_rules.h"
#include "train/rate_rules.h"
#include "train/schedule_rules.h"

namespace megalith {
namespace {

constexpr std::int64_t kMostBatchTokens = std::int64_t{1} << 40;  // where fixed-point gradients end

class Checker {
 public:
  Checker(const TrainConfig& config, const Registry& registry) : config_(config), registry_(registry) {}

  Refusals run() {
    refusals_ = check_model(config_.model, config_.numerics.tree, registry_);
    batch();
    grain();
    numerics();
    rates();
    schedule();
    data();
    best();
    return std::move(refusals_);
  }

 private:
  void refuse_key(const char* key, std::string allowed, std::string nearest) {
    refusals_.push_back({.where = registry_.where(key),
                         .found = registry_.at(key).show(),
                         .allowed = std::move(allowed),
                         .nearest = std::move(nearest)});
  }

  void batch() {
    const BatchConfig& b = config_.batch;
    if (b.global % b.micro != 0) {
      refuse_key("batch.micro", fmt::format("a divisor of batch.global = {}", b.global),
                 divisors_around(b.global, b.micro) +
                     fmt::format(", or batch.global = {}", (b.global + b.micro - 1) / b.micro * b.micro));
    }
    if (b.sequence > config_.model.sequence) {
      refuse_key("batch.sequence", fmt::format("at most model.sequence = {}", config_.model.sequence),
                 std::to_string(config_.model.sequence));
    }
    if (config_.tokens_per_step() > kMostBatchTokens) {
      refuse_key("batch.global", fmt::format("at most {} tokens per step", kMostBatchTokens),
                 std::to_string(kMostBatchTokens / b.sequence));
    }
  }

  void grain() {
    const std::int64_t grain = config_.numerics.grain;
    const std::int64_t sequence = config_.batch.sequence;
    switch (broken_grain_rule(grain, config_.batch)) {
      case GrainRule::none:
        return;
      case GrainRule::whole_blocks:
        return refuse_key("numerics.grain", fmt::format("a multiple of {} tokens", kBiasBlock),
                          std::to_string(std::max(grain / kBiasBlock * kBiasBlock, kBiasBlock)));
      case GrainRule::whole_sequences:
        return refuse_key("numerics.grain",
                          fmt::format("a multiple or a divisor of batch.sequence = {}", sequence),
                          std::to_string(least_grain_of_sequences(sequence)));
      case GrainRule::whole_grains:
        return parts_of_grains(sequences_of_whole_grains(grain, sequence));
    }
  }

  void parts_of_grains(std::int64_t step) {
    refuse_key(
        "batch.micro",
        fmt::format(
            "whole grains: a multiple of {} sequences, as numerics.grain = {} tokens and batch.sequence "
            "= {}",
            step, config_.numerics.grain, config_.batch.sequence),
        std::to_string((config_.batch.micro + step - 1) / step * step) +
            (config_.batch.global % step == 0 ? "" : ", with batch.global a multiple of it"));
  }

  void numerics() {
    const NumericsProfile& n = config_.numerics;
    if (n.attention_split % n.key_block != 0) {
      refuse_key("numerics.attention_split",
                 fmt::format("a multiple of numerics.key_block = {}", n.key_block),
                 std::to_string(n.key_block));
    }
  }

  void rates() {
    const char* const key = "optimizer.learning_rate_factors";
    for (const std::string& text : config_.optimizer.learning_rate_factors) {
      const Expected<RateRule> rule = parse_rate_rule(text);
      if (!rule) {
        for (Refusal refusal : rule.error()) {
          refusal.where = registry_.where(key);
          refusals_.push_back(std::move(refusal));
        }
        continue;
      }
      std::vector<std::string> names;
      for (TensorShape& tensor : tensor_shapes(config_.model)) names.push_back(std::move(tensor.name));
      if (std::any_of(names.begin(), names.end(), [&](const auto& name) { return matches(*rule, name); }))
        continue;
      refusals_.push_back({.where = registry_.where(key),
                           .found = fmt::format("\"{}\", which names no parameter", rule->pattern),
                           .allowed = "a pattern of parameter names, such as embedding.* or layers.0.*",
                           .nearest = nearest_name(rule->pattern, names)});
    }
  }

  void schedule() {
    for (Refusal& refusal : check_ramp(config_, registry_)) refusals_.push_back(std::move(refusal));
    for (Refusal& refusal : check_schedule(config_, registry_)) refusals_.push_back(std::move(refusal));
  }

  void data() {
    blend();
    infill();
    if (config_.data.loss_on == LossOn::completion && is_synthetic()) {
      refuse_key("data.loss_on", "\"all\", as the synthetic language has no completions",
                 "data.source = token files of pairs");
    }
    if (config_.data.synthetic_vocabulary > config_.model.vocabulary) {
      refuse_key("data.synthetic_vocabulary",
                 fmt::format("at most model.vocabulary = {}", config_.model.vocabulary),
                 std::to_string(config_.model.vocabulary));
    }
  }

  [[nodiscard]] bool is_synthetic() const {
    return config_.data.blend.empty() && config_.data.source == "synthetic";
  }

  void best() {
    if (!config_.checkpoint.keep_best) return;
    const DataConfig& data = config_.data;
    if (!is_synthetic() && data.held_out.empty() && data.more_held_out.empty()) {
      refuse_key("checkpoint.keep_best", "false where data.held_out names nothing to measure the best by",
                 "data.held_out = \"...-held_out\"");
    } else if (config_.validation.interval == 0) {
      refuse_key(
          "checkpoint.keep_best", "false where validation.interval = 0 measures only the last step",
          fmt::format("validation.interval = {}", std::max<std::int64_t>(config_.schedule.steps / 20, 1)));
    }
  }

  void infill() {
    const DataConfig& data = config_.data;
    const std::set<std::string> names(data.infill_tokens.begin(), data.infill_tokens.end());
    if (data.infill_tokens.size() != 3 || names.size() != 3 || names.contains("")) {
      refuse_key("data.infill_tokens", "three different tokens, before prefix, suffix and middle", "");
    }
    if (data.infill_rate == 0) return;
    const auto refuse_with = [&](const char* key, const char* allowed, const char* nearest) {
      refuse_key(key, std::string(allowed) + ", with data.infill_rate above 0", nearest);
    };
    if (is_synthetic()) {
      refuse_with("data.source", "token files made from text", "data.infill_rate = 0");
    }
    if (data.tokenizer.empty()) refuse_with("data.tokenizer", "the tokenizer of the token files", "");
    if (!data.document_masks) refuse_with("data.document_masks", "true", "true");
    if (data.loss_on != LossOn::all) refuse_with("data.loss_on", "\"all\"", "\"all\"");
  }

  void blend() {
    const DataConfig& data = config_.data;
    if (data.blend.empty()) return;
    if (data.source != "synthetic") {
      refuse_key("data.source", "nothing, as data.blend names the sources", "leave the key out");
    }
    std::size_t by_epochs = 0;
    for (const std::string& text : data.blend) {
      Expected<BlendEntry> entry = parse_blend_entry(text);
      if (!entry) {
        for (Refusal& refusal : entry.error()) {
          refusal.where = registry_.where("data.blend");
          refusals_.push_back(std::move(refusal));
        }
        return;
      }
      by_epochs += entry->epochs ? 1 : 0;
    }
    if (by_epochs != 0 && by_epochs != data.blend.size()) {
      refuse_key("data.blend", "weights for all sources or epochs for all", "");
    }
  }

  const TrainConfig& config_;
  const Registry& registry_;
  Refusals refusals_;
};

// What is wrong with the thing that a key names.
Refusals at_key(const char* key, Refusals refusals, const Registry& registry) {
  for (Refusal& refusal : refusals) refusal.where = registry.where(key) + ": " + refusal.where;
  return refusals;
}

// A config that gives every model.* key itself, as a frozen one does, can do without the weights: a run goes
// on when what it began with is gone.
Expected<void> adopt_initial_weights(LoadedConfig& loaded) {
  if (loaded.values.init.empty()) return {};
  const Expected<InitialWeights> weights = InitialWeights::open(loaded.values.init);
  if (weights) return adopt(*weights, loaded);
  const auto& keys = loaded.registry.keys();
  const bool complete = std::all_of(keys.begin(), keys.end(), [](const Key& key) {
    return !key.name.starts_with("model.") || !key.origin.empty();
  });
  if (complete) return {};
  return refuse(at_key("train.init", weights.error(), loaded.registry));
}

}  // namespace

void resolve(TrainConfig& config) {
  resolve(config.model);
  if (config.batch.sequence == 0) config.batch.sequence = config.model.sequence;
  const RunLength& length = config.schedule.length;
  config.schedule.steps =
      length.tokens > 0 ? BatchSchedule(config.batch).steps_for_tokens(length.tokens) : length.steps;
  if (config.data.synthetic_vocabulary == 0) config.data.synthetic_vocabulary = config.model.vocabulary;
  if (config.numerics.grain == 0) config.numerics.grain = least_grain_of_sequences(config.batch.sequence);
  config.numerics.batch_tokens_max = config.tokens_per_step();
}

Expected<void> resolve_epochs(TrainConfig& config, std::int64_t samples) {
  const double epochs = config.schedule.length.epochs;
  if (epochs == 0) return {};
  if (samples == 0) {
    return refuse({.where = "schedule.epochs",
                   .found = fmt::format("{} of the synthetic language", epochs),
                   .allowed = "epochs of token files: the synthetic language has no end",
                   .nearest = "schedule.steps or schedule.tokens"});
  }
  const auto wanted = static_cast<std::int64_t>(std::ceil(epochs * static_cast<double>(samples)));
  config.schedule.steps = BatchSchedule(config.batch).steps_for_samples(wanted);
  TrainConfig shown = config;
  Registry registry;
  declare_train_keys(registry, shown);
  if (Refusals broken = check_schedule(config, registry); !broken.empty()) return refuse(std::move(broken));
  return {};
}

Refusals check_train(const TrainConfig& config, const Registry& registry) {
  return Checker(config, registry).run();
}

Expected<std::unique_ptr<LoadedConfig>> load_config_with_keys(const std::filesystem::path& file,
                                                              std::span<const std::string> overrides,
                                                              const std::filesystem::path& configs_folder) {
  auto loaded = std::make_unique<LoadedConfig>();
  PresetRule preset{.key = "model.preset", .prefix = "model.", .folders = {}};
  if (!file.empty()) preset.folders.push_back((file.parent_path() / ".." / "models").lexically_normal());
  if (!configs_folder.empty()) preset.folders.push_back(configs_folder / "models");
  if (auto read = load_config(loaded->registry, file, overrides, preset); !read)
    return refuse(std::move(read).error());
  if (Expected<void> adopted = adopt_initial_weights(*loaded); !adopted)
    return refuse(std::move(adopted).error());
  if (Refusals twice = settle_alternatives(loaded->registry); !twice.empty()) return refuse(std::move(twice));
  resolve(loaded->values);
  Refusals refusals = check_train(loaded->values, loaded->registry);
  if (!refusals.empty()) return refuse(std::move(refusals));
  return loaded;
}

Expected<TrainConfig> load_train_config(const std::filesystem::path& file,
                                        std::span<const std::string> overrides,
                                        const std::filesystem::path& configs_folder) {
  auto loaded = load_config_with_keys(file, overrides, configs_folder);
  if (!loaded) return refuse(std::move(loaded).error());
  return (*loaded)->values;
}

std::string to_toml(const TrainConfig& config) {
  TrainConfig copy = config;
  Registry registry;
  declare_train_keys(registry, copy);
  return to_toml(registry);
}

}  // namespace megalith
