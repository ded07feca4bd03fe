// megalith train CONFIG.toml: starts a run, or goes on with what is there.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "app/build_facts.h"
#include "app/configs_folder.h"
#include "app/console.h"
#include "app/interrupt.h"
#include "app/loaded_model.h"
#include "app/next_steps.h"
#include "app/number_range.h"
#include "app/report/html_page.h"
#include "app/report/numbers.h"
#include "app/report/run_summary.h"
#include "app/training/data_sources.h"
#include "app/training/dry_run.h"
#include "app/training/final_evaluation.h"
#include "app/training/memory_use.h"
#include "app/training/progress.h"
#include "app/training/run_profile.h"
#include "app/training/run_setup.h"
#include "app/training/speed_probe.h"
#include "app/verbs.h"
#include "core/file.h"
#include "model/fingerprint.h"
#include "train/layout_rules.h"

namespace megalith::app {
namespace {

struct Options {
  TrainRequest request;
  bool json = false;
  bool dry_run = false;
  bool profile = false;
  std::filesystem::path timeline;  // a file; empty: none

  [[nodiscard]] bool watches_time() const { return profile || !timeline.empty(); }
};

std::string processor_name() {
  std::FILE* file = std::fopen("/proc/cpuinfo", "r");  // may be absent: then the name is unknown
  if (file == nullptr) return "unknown";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> closer(file, &std::fclose);
  char line[512];
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    const std::string_view text(line);
    if (!text.starts_with("model name")) continue;
    const std::size_t colon = text.find(": ");
    if (colon == std::string_view::npos) break;
    std::string name(text.substr(colon + 2));
    while (!name.empty() && name.back() == '\n') name.pop_back();
    return name;
  }
  return "unknown";
}

CreationFacts creation_facts(const TrainConfig& config, Device& device) {
  return {
      .program_version = build_facts().version,
      .created = "",
      .machine = {{"processor", processor_name()},
                  {"device", device.description()},
                  {"peak_gflops", fmt::format("{:.0f}", device.peak_flops(config.numerics.compute) * 1e-9)},
                  {"parameters", std::to_string(parameter_count(config.model))},
                  {"mfu_formula", training_flops_causal(config.model, config.batch.sequence).formula},
                  {"mfu_palm_formula", training_flops_palm(config.model, config.batch.sequence).formula},
                  {"energy", EnergyMeter().description()},
                  {"numerics", to_string(config.numerics)}}};
}

// A fresh run's length, when the time was given instead of the steps.
// False: interrupted before the speed was known.
bool fit_to_minutes(TrainConfig& config, Device& device, const Dataset& train, double minutes, bool quiet) {
  if (!quiet) print("measuring the speed of this machine for five seconds...\n");
  const std::int64_t steps = steps_that_fit(config, device, train, minutes * 60);
  if (steps == 0) return false;
  shorten(config, steps);
  if (!quiet) print(fmt::format("{} steps fit into {:.3g} minutes\n", config.schedule.steps, minutes));
  return true;
}

// "8", or "32 to 1920" of a ramp.
std::string batch_text(const BatchConfig& batch) {
  return batch.ramp_start > 0 ? fmt::format("{} to {}", batch.ramp_start, batch.global)
                              : std::to_string(batch.global);
}

void print_plan(const TrainConfig& config, const Trainer& trainer, const RunDirectory& run) {
  const RankNeeds& needs = trainer.needs();
  const auto mib = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  print(fmt::format("{} parameters, {} layers of {}; {} sequences of {} tokens a step, {} at a time\n",
                    compact(static_cast<double>(parameter_count(config.model))), config.model.layers,
                    config.model.hidden, batch_text(config.batch), config.batch.sequence,
                    config.batch.micro));
  print(fmt::format("{}; memory: {:.0f} MiB parameters and optimizer, {:.0f} activations, {:.0f} workspace\n",
                    trainer.device().description(), mib(needs.parameter_bytes), mib(needs.activation_bytes()),
                    mib(needs.workspace_bytes())));
  print(fmt::format("{}\n", to_string(config.numerics)));
  print(fmt::format("% of peak: tokens/s x {} / {:.0f} GFLOP/s measured\n",
                    training_flops_causal(config.model, config.batch.sequence).formula,
                    trainer.device().peak_flops(config.numerics.compute) * 1e-9));
  print(fmt::format("mfu_palm in the metrics: {} instead\n",
                    training_flops_palm(config.model, config.batch.sequence).formula));
  print(fmt::format("energy {}\n", EnergyMeter().description()));
  print(fmt::format("run directory {}\n", run.folder().string()));
}

void print_next(const TrainConfig& config, const RunDirectory& run) {
  print("\nNext:\n");
  for (const NextStep& step :
       next_steps(run.folder(), twice_as_long(config.schedule.length), !config.data.tokenizer.empty())) {
    print(fmt::format("  {}\n    {}\n", step.what, step.command));
  }
}

void finish(const TrainConfig& config, Trainer& trainer, const DataSources& data, const RunDirectory& run,
            bool quiet) {
  if (data.held_out_tokens != nullptr && data.tokenizer && !data.train_tokens.empty()) {
    if (!quiet) print("evaluating the held-out text...\n");
    const FinalEvaluation evaluation = evaluate_finally(config, trainer, data, run);
    if (!quiet) print(describe(evaluation));
  }
  const std::filesystem::path page = run.folder() / "report.html";
  const RunSummary summary = value_or_throw(read_run(run.folder()));
  if (!quiet && summary.validation_loss.size() > 1 && summary.validation_loss.front().x == 0) {
    print(fmt::format("held-out loss {:.4f} nats/token; of the weights it began with {:.4f}\n",
                      summary.validation_loss.back().y, summary.validation_loss.front().y));
  }
  write_file_atomically(page, html_page(summary));
  if (!quiet) print(fmt::format("report: {}\n", page.string()));
}

struct OpenRun {
  RunDirectory directory;
  RunLock lock;
};

// The run's directory, for nobody else from now on: what is there is changed only under the lock. Nothing
// when interrupted before there was a run.
std::optional<OpenRun> open_run(TrainConfig& config, const Options& options, Device& device,
                                const Dataset* train) {
  const std::filesystem::path folder = run_folder_of(options.request);
  if (RunDirectory::is_run(folder)) {
    RunDirectory run = value_or_throw(RunDirectory::open(folder));
    RunLock lock = value_or_throw(run.lock());
    const std::string text = to_toml(config);
    if (text != run.config()) write_file_atomically(run.config_file(), text);
    return OpenRun{std::move(run), std::move(lock)};
  }
  require_memory(config);
  if (options.request.minutes > 0 &&
      !fit_to_minutes(config, device, *train, options.request.minutes, options.json)) {
    return std::nullopt;
  }
  RunLock lock = value_or_throw(RunDirectory::claim(folder));
  RunDirectory run =
      value_or_throw(RunDirectory::create(folder, to_toml(config), creation_facts(config, device)));
  return OpenRun{std::move(run), std::move(lock)};
}

TrainConfig wanted_config(const Options& options) {
  const std::filesystem::path folder = run_folder_of(options.request);
  if (!RunDirectory::is_run(folder)) {
    return value_or_throw(load_train_config(options.request.config_file, options.request.overrides,
                                            configs_folder(options.request.config_file)));
  }
  return value_or_throw(config_of_existing_run(value_or_throw(RunDirectory::open(folder)), options.request));
}

ExitCode report_end(const LoopEnd& end, const Options& options) {
  switch (end.kind) {
    case LoopEnd::Kind::stopped:
      complain(fmt::format("stopped after step {}; the checkpoint is written, the same command continues",
                           end.step));
      return ExitCode::stopped;
    case LoopEnd::Kind::ledger_differs:
      complain("this machine does not reproduce the run's ledger: " + to_string(*end.difference));
      if (end.difference->field == "data_digest")
        complain("the data that the config names are not those that the run has read so far");
      complain("nothing was changed; see docs/numerics.md, and compare `megalith doctor` here and there");
      return ExitCode::not_reproduced;
    case LoopEnd::Kind::diverged:
      complain(fmt::format(
          "gave up after step {}: the last {} steps were all bad, so nothing is learnt any more. The "
          "newest checkpoint is older than that. Try a lower optimizer.learning_rate in a new run.",
          end.step, LoopEnd::kMostSkipped));
      return ExitCode::failed;
    case LoopEnd::Kind::already_done:
      if (!options.json) print(fmt::format("already done: {} steps\n", end.step));
      return ExitCode::done;
    case LoopEnd::Kind::finished:
      return ExitCode::done;
  }
  return ExitCode::bug;
}

// Before the run, so that a slip costs no training.
Expected<void> check_timeline(const std::filesystem::path& file) {
  if (file.empty()) return {};
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (std::filesystem::is_directory(folder) && !std::filesystem::is_directory(file)) return {};
  return refuse({.where = "--timeline",
                 .found = file.string(),
                 .allowed = "a file in a folder that exists",
                 .nearest = (std::filesystem::path("runs") / "timeline.json").string()});
}

void show_profile(RunProfile& profile, const Options& options) {
  if (options.profile) print(options.json ? profile.json() : profile.table());
  if (options.timeline.empty()) return;
  write_file_atomically(options.timeline, profile.timeline_json());
  if (!options.json)
    print(fmt::format("timeline: {} (ui.perfetto.dev opens it)\n", options.timeline.string()));
}

ExitCode show_dry_run(TrainConfig config, const Options& options, Device& device, const DataSources& data) {
  const std::filesystem::path folder = run_folder_of(options.request);
  if (options.request.minutes > 0 && !RunDirectory::is_run(folder) &&
      !fit_to_minutes(config, device, *data.train, options.request.minutes, options.json)) {
    return ExitCode::stopped;
  }
  const DryRun run = dry_run(config, device, data, folder);
  print(options.json ? to_json(run) + "\n" : describe(run));
  return ExitCode::done;
}

ExitCode train(const Options& options) {
  watch_for_interrupts();
  value_or_throw(look_for_shipped_config(options.request.config_file));
  value_or_throw(check_timeline(options.timeline));
  TrainConfig config = wanted_config(options);
  value_or_throw(layout_of(config, 1));
  const std::unique_ptr<Device> device = value_or_throw(open_device(config.threads));
  const DataSources data = value_or_throw(open_data(config));
  value_or_throw(resolve_epochs(config, data.epoch_samples));
  if (options.dry_run) return show_dry_run(std::move(config), options, *device, data);
  const std::optional<OpenRun> opened = open_run(config, options, *device, data.train.get());
  if (!opened) {
    complain("stopped before the run began; nothing was written, the same command starts it");
    return ExitCode::stopped;
  }
  const RunDirectory& run = opened->directory;

  Ledger ledger = value_or_throw(Ledger::open(run.ledger_file()));
  MetricsSink metrics = value_or_throw(MetricsSink::open(run, config.metrics.tensorboard));
  std::optional<RunProfile> profile;
  if (options.watches_time()) profile.emplace(*device, *data.train, !options.timeline.empty());
  Trainer trainer(config, profile ? profile->device() : *device, profile ? profile->train() : *data.train);
  if (!options.json) print_plan(config, trainer, run);
  if (!config.init.empty() && list_checkpoints(run.checkpoints()).empty()) {
    value_or_throw(trainer.begin_with(value_or_throw(InitialWeights::open(config.init))));
    if (!options.json) print(fmt::format("begins with the weights of {}\n", config.init));
  }
  const Tokenizer* tokenizer = data.tokenizer ? &*data.tokenizer : nullptr;
  Progress progress(config, trainer, run, metrics, data,
                    {.live = ::isatty(STDOUT_FILENO) == 1, .json = options.json});
  const LoopEnd end =
      run_loop(config, trainer, data.held_out_sets,
               {.ledger = &ledger,
                .checkpoints = run.checkpoints(),
                .frozen_config = to_toml(config),
                .tokenizer_json = tokenizer == nullptr ? "" : tokenizer->to_json()},
               fingerprint(*device, config.numerics), profile ? profile->around(progress) : progress);
  if (profile) show_profile(*profile, options);
  const ExitCode code = report_end(end, options);
  if (code != ExitCode::done) return code;
  const bool evaluated = std::filesystem::exists(run.folder() / "report.html");
  if (end.kind == LoopEnd::Kind::finished || !evaluated) finish(config, trainer, data, run, options.json);
  if (!options.json) print_next(config, run);
  return code;
}

constexpr const char* kExamples = R"(Examples:
  megalith train configs/runs/tiny.toml                       without any file or download, seconds
  megalith train my.toml --run-dir runs/mine --minutes 30     as many steps as fit into half an hour
  megalith train my.toml --dry-run                            what it would be; nothing is written
  megalith train my.toml --profile --timeline steps.json      where the time of a step goes
  megalith train my.toml --set optimizer.learning_rate=1e-3   one key changed; config explain lists them
Ctrl-C or SIGTERM saves and stops (exit code 3); the same command continues with the same bits.
)";

}  // namespace

void add_train_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("train", "Train a model, or go on with a run that is there");
  verb->footer(kExamples);
  verb->add_option("CONFIG", options->request.config_file, "TOML file, such as configs/runs/tiny.toml")
      ->required();
  verb->add_option("--set", options->request.overrides,
                   "A value over the file's; may be repeated (see config explain)")
      ->type_name("KEY=VALUE");
  verb->add_option("--run-dir", options->request.run_folder,
                   "Where the run lives (default: runs/ and the file's name)");
  verb->add_option("--minutes", options->request.minutes,
                   "A fresh run takes as many steps as fit into this time")
      ->check(between(0.05, 1e6));
  verb->add_flag("--json", options->json, "One JSON object per step on standard output");
  CLI::Option* dry_run =
      verb->add_flag("--dry-run", options->dry_run,
                     "Say what the run would be (steps, rates, batches, memory, time) and write nothing");
  verb->add_flag(
          "--profile", options->profile,
          "After the run, a table: time, FLOPs and bytes of every operation, and its share of a ceiling")
      ->excludes(dry_run);
  verb->add_option("--timeline", options->timeline,
                   "Write the last steps, operation by operation, as a trace for ui.perfetto.dev")
      ->type_name("FILE")
      ->excludes(dry_run);
  verb->callback([options, &run] { run = [options] { return train(*options); }; });
}

}  // namespace megalith::app
