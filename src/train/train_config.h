// Everything a training run is told, as one plain struct, and the keys it is told by.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/registry.h"
#include "core/error.h"
#include "core/numerics_profile.h"
#include "data/dataset.h"
#include "data/infill_tokens.h"
#include "layers/recompute.h"
#include "model/model_config.h"
#include "pipeline/schedule_kind.h"

namespace megalith {

enum class LearningRateDecay : std::uint8_t { cosine, linear, constant, wsd, inverse_sqrt };
enum class CooldownShape : std::uint8_t { linear, cosine, square_root };

struct DataConfig {
  std::string source = "synthetic";             // or the path of token files without .bin and .idx
  std::vector<std::string> blend = {};          // instead of source: train/blend_entry.h
  std::string held_out = {};                    // path of token files never trained on; "" none
  std::vector<std::string> more_held_out = {};  // further sets, each validated by itself
  std::string tokenizer = {};                   // tokenizer.json; "" none: ids are shown instead of text
  bool document_masks = true;                   // tokens do not see the documents before theirs
  LossOn loss_on = LossOn::all;
  Packing packing = Packing::stream;
  double infill_rate =
      0;  // share of the fragments of documents whose middle is moved (data/infill_dataset.h)
  double infill_spm = 0.5;  // share of these in the order suffix, prefix, middle
  std::vector<std::string> infill_tokens = usual_infill_tokens();
  std::int64_t synthetic_vocabulary = 0;  // ids of the synthetic language; 0 until resolved: model.vocabulary
};

struct BatchConfig {
  std::int64_t global = 8;    // sequences per step; with a ramp, after it
  std::int64_t micro = 1;     // sequences per forward and backward
  std::int64_t sequence = 0;  // tokens per sequence; 0 until resolved: model.sequence
  // From ramp_start (0: no ramp) to global by ramp_increment, while so many samples, or tokens, are read.
  std::int64_t ramp_start = 0;
  std::int64_t ramp_increment = 0;
  std::int64_t ramp_samples = 0;
  std::int64_t ramp_tokens = 0;
};

struct OptimizerConfig {
  double learning_rate = 6e-4;  // peak
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  // of matrices and tables
  double clip = 1.0;          // largest global gradient norm; 0: none
  double z_loss = 0;          // times the squared log sum of exponentials, added to what is minimised
  std::vector<std::string> learning_rate_factors = {};  // train/rate_rules.h; later ones win
};

// What a run is told to end by. One of them is not 0.
struct RunLength {
  std::int64_t steps = 1000;
  std::int64_t tokens = 0;
  double epochs = 0;
};

// Of every pair in steps and tokens at most one is not 0.
struct ScheduleConfig {
  std::int64_t steps =
      1000;  // that the length comes to; 0 until resolved, and by epochs until the data is open
  RunLength length = {};
  std::int64_t warmup_steps = 0;
  std::int64_t warmup_tokens = 0;
  LearningRateDecay decay = LearningRateDecay::cosine;
  std::int64_t horizon_steps = 0;  // where the decay ends, from the run's start; both 0: where the run ends
  std::int64_t horizon_tokens = 0;
  std::int64_t cooldown_steps = 0;  // length of the decay of wsd
  std::int64_t cooldown_tokens = 0;
  CooldownShape cooldown_shape = CooldownShape::linear;
  double minimum_ratio = 0.1;  // learning rate where the decay ends, in peaks
};

// How the ranks share the work; train/layout_rules.h says what is legal. Never changes a bit.
struct ParallelConfig {
  std::int64_t tensor = 1;    // ranks that share each matrix
  std::int64_t pipeline = 1;  // stages that share the layers
  std::int64_t data = 0;      // replicas that share the batch; 0: all ranks that the others leave
  bool sequence = false;      // sequence parallel: tensor ranks share the tokens between the products
  ScheduleKind schedule = ScheduleKind::one_f_one_b;
  std::int64_t chunks = 1;  // of layers per rank
  std::string stage_layers =
      {};                 // "3, 2, 3": layers of every chunk, in the model's order; "": as even as may be
  std::int64_t zero = 0;  // 1: optimizer state is sharded over data ranks, 2: gradients too, 3: weights too
  Recompute recompute = Recompute::none;
  std::int64_t recompute_layers = 0;  // of each rank, the first ones; 0: all
  bool operator==(const ParallelConfig&) const = default;
};

struct CheckpointConfig {
  std::int64_t interval = 0;    // steps; 0: only at the end and when stopped
  std::int64_t keep = 2;        // newest ones that stay; 0: all
  std::int64_t keep_every = 0;  // steps whose multiples are saved and stay; 0: none
  bool keep_best = false;       // what improves the held-out loss is saved, and the best stays
};

struct ValidationConfig {
  std::int64_t interval = 0;    // steps; 0: only at the end
  std::int64_t sequences = 64;  // held-out sequences per validation; 0: all
};

struct SampleConfig {
  std::int64_t interval = 0;  // steps; 0: only at the end
  std::string prompt = {};
  std::int64_t tokens = 64;  // per sample; 0: no samples
  double temperature = 0.7;  // 0: greedy
  std::int64_t top_k = 0;    // 0: all
  double top_p = 0.9;
};

struct MetricsConfig {
  bool tensorboard = true;       // event files for TensorBoard
  std::int64_t norms_every = 0;  // steps; 0: no norms per layer
};

struct TrainConfig {
  ModelConfig model;
  DataConfig data;
  BatchConfig batch;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  ParallelConfig parallel;
  NumericsProfile numerics = {.grain = 0};  // grain 0 until resolved; batch_tokens_max follows from the batch
  CheckpointConfig checkpoint;
  ValidationConfig validation;
  SampleConfig sample;
  MetricsConfig metrics;
  std::int64_t threads = 0;       // 0: every usable one
  std::int64_t log_interval = 1;  // steps
  std::uint64_t seed = 1234;
  std::string init = {};  // weights to begin with (train/initial_weights.h); "" random ones

  // The most there are: steps of a ramp have fewer (train/batch_schedule.h).
  [[nodiscard]] std::int64_t tokens_per_step() const { return batch.global * batch.sequence; }
};

// Every key of a training config, in the order of the reference page.
void declare_train_keys(Registry& registry, TrainConfig& config);

// Puts the values in that other values imply: model.feed_forward, batch.sequence, data.synthetic_vocabulary,
// schedule.steps where tokens were given, numerics.grain (the fewest whole sequences that are a multiple of
// 32 tokens) and numerics.batch_tokens_max.
void resolve(TrainConfig& config);

// The steps of a run whose length is given in epochs, which only its data can tell; others are left alone.
// `samples` are an epoch's, 0 where the data has none. Refuses that, and a warm-up or cool-down too long for
// it.
Expected<void> resolve_epochs(TrainConfig& config, std::int64_t samples);

// Rules between keys, for a resolved config; all broken ones with the nearest legal values.
Refusals check_train(const TrainConfig& config, const Registry& registry);

// A config with its keys, so that every value knows where it came from. Not movable: the keys point into the
// values.
struct LoadedConfig {
  LoadedConfig() { declare_train_keys(registry, values); }
  LoadedConfig(const LoadedConfig&) = delete;
  LoadedConfig& operator=(const LoadedConfig&) = delete;

  TrainConfig values;
  Registry registry;
};

// Reads a config file (none when empty), with `overrides` (KEY=VALUE) over it, resolved and checked. Model
// presets are searched in ../models beside the file, then in configs_folder/models.
Expected<std::unique_ptr<LoadedConfig>> load_config_with_keys(const std::filesystem::path& file,
                                                              std::span<const std::string> overrides,
                                                              const std::filesystem::path& configs_folder);
Expected<TrainConfig> load_train_config(const std::filesystem::path& file,
                                        std::span<const std::string> overrides,
                                        const std::filesystem::path& configs_folder);

// The resolved config as TOML: what a run freezes. Read back it gives the same config.
std::string to_toml(const TrainConfig& config);

}  // namespace megalith
