#include "app/training/dry_run.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "app/interrupt.h"
#include "app/report/numbers.h"
#include "app/training/speed_probe.h"
#include "run/checkpoint_store.h"
#include "run/run_directory.h"
#include "train/learning_rate.h"

namespace megalith::app {
namespace {

double bytes_of(const RankNeeds& needs) {
  return static_cast<double>(needs.bytes());
}

std::vector<DryRun::Source> sources_of(const TrainConfig& config, const DataSources& data,
                                       std::int64_t sequences) {
  const std::span<const std::string> names = data.train->source_names();
  if (names.empty()) {
    DryRun::Source source{.name = config.data.source, .sequences = sequences, .epochs = {}};
    if (data.epoch_samples > 0) source.epochs = data.train->epochs_of_source(0, sequences);
    return {source};
  }
  std::vector<DryRun::Source> sources;
  for (std::size_t s = 0; s < names.size(); ++s) {
    sources.push_back({.name = names[s],
                       .sequences = data.train->samples_of_source(s, sequences),
                       .epochs = data.train->epochs_of_source(s, sequences)});
  }
  return sources;
}

std::vector<BatchSchedule::Stage> batches_of(const BatchSchedule& batches, std::int64_t steps) {
  std::vector<BatchSchedule::Stage> reached;
  for (const BatchSchedule::Stage& stage : batches.stages()) {
    if (stage.first_step < steps) reached.push_back(stage);
  }
  return reached;
}

// First and last step, the quarters between them, and where warm-up and a stable stretch end.
std::vector<DryRun::Point> rates_of(const TrainConfig& config, const BatchSchedule& batches) {
  const ScheduleConfig& schedule = config.schedule;
  const LearningRateSchedule rate(config);
  const auto step_at = [&](std::int64_t position, bool tokens) {
    return tokens ? batches.steps_for_tokens(position) : position;
  };
  std::set<std::int64_t> steps{1, schedule.steps};
  for (std::int64_t quarter = 1; quarter < 4; ++quarter) steps.insert(schedule.steps * quarter / 4);
  steps.insert(step_at(rate.decay_begin(), rate.decay_counts_tokens()));
  if (schedule.decay == LearningRateDecay::wsd) {
    const std::int64_t cooldown = std::max(schedule.cooldown_steps, schedule.cooldown_tokens);
    steps.insert(step_at(rate.decay_end() - cooldown, rate.decay_counts_tokens()));
  }
  std::vector<DryRun::Point> points;
  for (const std::int64_t step : steps) {
    if (step < 1 || step > schedule.steps) continue;
    points.push_back(
        {.step = step, .tokens = batches.tokens_before(step - 1), .learning_rate = rate.at(step - 1)});
  }
  return points;
}

// Masters and both moments, as Trainer::save writes them.
std::int64_t checkpoint_bytes_of(const TrainConfig& config) {
  std::int64_t bytes = 0;
  for (const ParameterSpec& spec : Transformer::specs(config.model, config.numerics)) {
    bytes += 3 * static_cast<std::int64_t>(sizeof(float)) * spec.rows * spec.columns;
  }
  return bytes;
}

double machine_bytes() {
  const auto pages = ::sysconf(_SC_PHYS_PAGES), bytes = ::sysconf(_SC_PAGE_SIZE);
  return pages > 0 && bytes > 0 ? static_cast<double>(pages) * static_cast<double>(bytes) : 0;
}

// Measures with steps of a few seconds at most, if one micro batch is that short.
void guess_time(const TrainConfig& config, Device& device, const Dataset& train, DryRun& run) {
  constexpr double kLongestStep = 10;     // seconds
  constexpr double kLikelyShare = 0.3;    // of the peak
  constexpr double kMostOfMemory = 0.75;  // others use the machine too
  if (run.machine_bytes > 0 && bytes_of(run.memory) > kMostOfMemory * run.machine_bytes) {
    run.unknown_time = "the model does not fit into this machine's memory";
    return;
  }
  const double peak = device.peak_flops(config.numerics.compute);
  const double flops = static_cast<double>(training_flops_causal(config.model, config.batch.sequence).flops) *
                       static_cast<double>(config.batch.sequence);
  const double likely = peak > 0 ? flops / (kLikelyShare * peak) : 0;  // seconds of a sequence
  if (likely * static_cast<double>(config.batch.micro) > kLongestStep) {
    run.unknown_time = fmt::format("a micro batch takes about {}, too long to try",
                                   duration_text(likely * static_cast<double>(config.batch.micro)));
    return;
  }
  TrainConfig probe = config;
  const BatchSchedule batches(config.batch);
  const auto most = static_cast<std::int64_t>(kLongestStep / 5 / std::max(likely, 1e-9));
  const std::int64_t whole =
      std::max(std::min(most, batches.sequences(0)) / config.batch.micro, std::int64_t{1});
  probe.batch = {
      .global = whole * config.batch.micro, .micro = config.batch.micro, .sequence = config.batch.sequence};
  const double seconds = seconds_per_sequence(probe, device, train, Mesh());
  if (interrupted()) {
    run.unknown_time = "interrupted";
    return;
  }
  run.seconds_left = seconds * static_cast<double>(run.sequences - batches.first_sample(run.done));
}

std::string bytes_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : 1, units[unit]);
}

std::string number(std::int64_t value) {
  return compact(static_cast<double>(value));
}

std::string describe_batches(const DryRun& run) {
  constexpr std::size_t kShown = 8;
  std::string text;
  const std::size_t count = run.batches.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (count > kShown && i == kShown - 2) {
      text += fmt::format("              ... {} sizes more\n", count - kShown + 1);
      i = count - 1;
    }
    const BatchSchedule::Stage& stage = run.batches[i];
    text += fmt::format("{:<13} from step {}: {} sequences, {} tokens, {} micro batches of {}\n",
                        i == 0 ? "batch" : "", stage.first_step + 1, stage.sequences,
                        number(stage.sequences * run.sequence), stage.sequences / run.micro, run.micro);
  }
  return text;
}

}  // namespace

DryRun dry_run(const TrainConfig& config, Device& device, const DataSources& data,
               const std::filesystem::path& run_folder) {
  const BatchSchedule batches(config.batch);
  const std::int64_t steps = config.schedule.steps;
  DryRun run{.steps = steps,
             .sequences = batches.first_sample(steps),
             .tokens = batches.tokens_before(steps),
             .sequence = config.batch.sequence,
             .micro = config.batch.micro,
             .sources = sources_of(config, data, batches.first_sample(steps)),
             .batches = batches_of(batches, steps),
             .rates = rates_of(config, batches),
             .parameters = parameter_count(config.model),
             .memory = measure_rank(config, Mesh()),
             .machine_bytes = machine_bytes(),
             .checkpoint_bytes = checkpoint_bytes_of(config),
             .checkpoints_kept = config.checkpoint.keep};
  if (RunDirectory::is_run(run_folder)) {
    const auto saved = list_checkpoints(value_or_throw(RunDirectory::open(run_folder)).checkpoints());
    if (!saved.empty()) run.done = std::min(saved.back().step, steps);
  }
  guess_time(config, device, *data.train, run);
  return run;
}

std::string describe(const DryRun& run) {
  std::string text = fmt::format("{:<13} {}: {} tokens in {} sequences of {}\n", "steps", run.steps,
                                 number(run.tokens), number(run.sequences), run.sequence);
  if (run.done > 0) text += fmt::format("{:<13} {} steps, so it would go on after them\n", "done", run.done);
  for (const DryRun::Source& source : run.sources) {
    text += fmt::format("{:<13} {}: {} sequences, {}\n", "data", source.name, number(source.sequences),
                        source.epochs ? fmt::format("{:.3g} epochs", *source.epochs) : "no end");
  }
  text += describe_batches(run);
  for (const DryRun::Point& point : run.rates) {
    text += fmt::format("{:<13} {:.4g} at step {}, after {} tokens\n",
                        &point == &run.rates.front() ? "learning rate" : "", point.learning_rate, point.step,
                        number(point.tokens));
  }
  text += fmt::format("{:<13} {}\n", "parameters", number(run.parameters));
  text += fmt::format("{:<13} {}: {} parameters, gradients and optimizer, {} activations, {} workspace",
                      "memory", bytes_text(bytes_of(run.memory)),
                      bytes_text(static_cast<double>(run.memory.parameter_bytes)),
                      bytes_text(static_cast<double>(run.memory.activation_bytes())),
                      bytes_text(static_cast<double>(run.memory.workspace_bytes())));
  text +=
      run.machine_bytes > 0 ? fmt::format("; this machine has {}\n", bytes_text(run.machine_bytes)) : "\n";
  text += fmt::format("{:<13} {} each, {} kept\n", "checkpoint",
                      bytes_text(static_cast<double>(run.checkpoint_bytes)),
                      run.checkpoints_kept > 0 ? std::to_string(run.checkpoints_kept) : "all");
  text +=
      fmt::format("{:<13} {}\n", "time",
                  run.seconds_left ? "about " + duration_text(*run.seconds_left) + " of steps on this machine"
                                   : "unknown: " + run.unknown_time);
  return text + "nothing was written\n";
}

std::string to_json(const DryRun& run) {
  nlohmann::json sources = nlohmann::json::array(), batches = sources, rates = sources;
  for (const DryRun::Source& source : run.sources) {
    nlohmann::json object = {{"name", source.name}, {"sequences", source.sequences}, {"epochs", nullptr}};
    if (source.epochs) object["epochs"] = *source.epochs;
    sources.push_back(std::move(object));
  }
  for (const BatchSchedule::Stage& stage : run.batches) {
    batches.push_back({{"first_step", stage.first_step + 1}, {"sequences", stage.sequences}});
  }
  for (const DryRun::Point& point : run.rates) {
    rates.push_back({{"step", point.step}, {"tokens", point.tokens}, {"learning_rate", point.learning_rate}});
  }
  nlohmann::json object = {{"steps", run.steps},
                           {"steps_done", run.done},
                           {"sequences", run.sequences},
                           {"tokens", run.tokens},
                           {"sources", sources},
                           {"batches", batches},
                           {"learning_rates", rates},
                           {"parameters", run.parameters},
                           {"memory_bytes",
                            {{"parameters", run.memory.parameter_bytes},
                             {"activations", run.memory.activation_bytes()},
                             {"workspace", run.memory.workspace_bytes()}}},
                           {"checkpoint_bytes", run.checkpoint_bytes},
                           {"seconds_left", nullptr}};
  if (run.seconds_left) object["seconds_left"] = *run.seconds_left;
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace megalith::app
