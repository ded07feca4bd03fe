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
#include "app/launch/following_rank.h"
#include "app/launch/launch.h"
#include "app/launch/recorded_ranks.h"
#include "app/launch/same_run.h"
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
#include "comm/exchange.h"
#include "comm/host.h"
#include "comm/launch_environment.h"
#include "core/file.h"
#include "model/fingerprint.h"
#include "train/layout_rules.h"

namespace megalith::app {
namespace {

struct Options {
  TrainRequest request;
  std::int64_t ranks = 0;  // as threads; 0: one, or what a launcher started
  bool json = false;
  bool dry_run = false;
  bool profile = false;
  std::filesystem::path timeline;  // a file; empty: none
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

// What a rank brings before there is a run.
struct Rank {
  Communicator& world;
  TrainConfig config;
  Layout layout;
  std::unique_ptr<Device> device;
  DataSources data;

  [[nodiscard]] bool first() const { return world.rank() == 0; }
};

// A fresh run's length, when the time was given instead of the steps.
// False: interrupted before the speed was known.
bool fit_to_minutes(TrainConfig& config, Device& device, const Dataset& train, const Mesh& mesh,
                    double minutes, bool quiet) {
  if (!quiet) print("measuring the speed of this machine for five seconds...\n");
  const std::int64_t steps = steps_that_fit(config, device, train, mesh, minutes * 60);
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

// `devices`: like the trainer's own, which compute at once.
void print_plan(const TrainConfig& config, const Trainer& trainer, const RunDirectory& run, double devices) {
  const RankNeeds& needs = trainer.needs();
  const auto mib = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  print(fmt::format("{} parameters, {} layers of {}; {} sequences of {} tokens a step, {} at a time\n",
                    compact(static_cast<double>(parameter_count(config.model))), config.model.layers,
                    config.model.hidden, batch_text(config.batch), config.batch.sequence,
                    trainer.sequences_at_once()));
  print(fmt::format("{}; memory: {:.0f} MiB parameters and optimizer, {:.0f} activations, {:.0f} workspace\n",
                    trainer.device().description(), mib(needs.parameter_bytes), mib(needs.activation_bytes()),
                    mib(needs.workspace_bytes())));
  if (const Mesh& mesh = trainer.mesh(); mesh.world().size() > 1)
    print(fmt::format("{}; the line above is of rank 0\n", equation(mesh.layout())));
  print(fmt::format("{}\n", to_string(config.numerics)));
  print(fmt::format("% of peak: tokens/s x {} / {:.0f} GFLOP/s measured\n",
                    training_flops_causal(config.model, config.batch.sequence).formula,
                    devices * trainer.device().peak_flops(config.numerics.compute) * 1e-9));
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

bool is_evaluated_finally(const DataSources& data) {
  return data.held_out_tokens != nullptr && data.tokenizer && !data.train_tokens.empty();
}

void finish(const TrainConfig& config, Trainer& trainer, const DataSources& data, const RunDirectory& run,
            bool quiet) {
  if (is_evaluated_finally(data)) {
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
  std::optional<RunLock> lock;  // the first rank's
};

OpenRun open_existing_run(const TrainConfig& config, const std::filesystem::path& folder) {
  RunDirectory run = value_or_throw(RunDirectory::open(folder));
  RunLock lock = value_or_throw(run.lock());
  const std::string text = to_toml(config);
  if (text != run.config()) write_file_atomically(run.config_file(), text);
  return {std::move(run), std::move(lock)};
}

OpenRun create_run(const TrainConfig& config, const std::filesystem::path& folder, Device& device) {
  RunLock lock = value_or_throw(RunDirectory::claim(folder));
  RunDirectory run =
      value_or_throw(RunDirectory::create(folder, to_toml(config), creation_facts(config, device)));
  return {std::move(run), std::move(lock)};
}

// The run's directory, for nobody else from now on: what is there is changed only under the lock, by the
// first rank. Nothing when interrupted before there was a run.
std::optional<OpenRun> open_run(Rank& rank, const Options& options) {
  Communicator& world = rank.world;
  const std::filesystem::path folder = run_folder_of(options.request);
  const bool exists = number_from(world, RunDirectory::is_run(folder) ? 1 : 0) != 0;
  if (!exists) {
    const int ranks_here = share_of_host(world).ranks;
    if (rank.first()) require_memory(rank.config, rank.layout, ranks_here);
    if (options.request.minutes > 0 &&
        !fit_to_minutes(rank.config, *rank.device, *rank.data.train, Mesh(rank.layout, world),
                        options.request.minutes, options.json || !rank.first())) {
      return std::nullopt;
    }
  }
  std::optional<OpenRun> opened;
  agreed(world, [&] {
    if (!rank.first()) return;
    opened.emplace(exists ? open_existing_run(rank.config, folder)
                          : create_run(rank.config, folder, *rank.device));
  });
  agreed(world, [&] {
    if (!rank.first()) opened.emplace(OpenRun{value_or_throw(RunDirectory::open(folder)), std::nullopt});
  });
  require_one_run(world, opened->directory);
  return opened;
}

TrainConfig wanted_config(const Options& options) {
  const std::filesystem::path folder = run_folder_of(options.request);
  if (!RunDirectory::is_run(folder)) {
    return value_or_throw(load_train_config(options.request.config_file, options.request.overrides,
                                            configs_folder(options.request.config_file)));
  }
  return value_or_throw(config_of_existing_run(value_or_throw(RunDirectory::open(folder)), options.request));
}

ExitCode code_of(const LoopEnd& end) {
  switch (end.kind) {
    case LoopEnd::Kind::stopped:
      return ExitCode::stopped;
    case LoopEnd::Kind::ledger_differs:
      return ExitCode::not_reproduced;
    case LoopEnd::Kind::diverged:
      return ExitCode::failed;
    case LoopEnd::Kind::already_done:
    case LoopEnd::Kind::finished:
      return ExitCode::done;
  }
  return ExitCode::bug;
}

void report_end(const LoopEnd& end, const Options& options) {
  switch (end.kind) {
    case LoopEnd::Kind::stopped:
      return complain(fmt::format(
          "stopped after step {}; the checkpoint is written, the same command continues", end.step));
    case LoopEnd::Kind::ledger_differs:
      complain("this machine does not reproduce the run's ledger: " + to_string(*end.difference));
      if (end.difference->field == "data_digest")
        complain("the data that the config names are not those that the run has read so far");
      if (end.difference->field == "learning_rate") {
        complain(
            "its rates are other ones now: a run that ended between checkpoints does some steps again, so "
            "let it do them with the schedule that it had, and change the schedule then");
      }
      return complain(
          "nothing was changed; see docs/numerics.md, and compare `megalith doctor` here and there");
    case LoopEnd::Kind::diverged:
      return complain(fmt::format(
          "gave up after step {}: the last {} steps were all bad, so nothing is learnt any more. The "
          "newest checkpoint is older than that. Try a lower optimizer.learning_rate in a new run.",
          end.step, LoopEnd::kMostSkipped));
    case LoopEnd::Kind::already_done:
      if (!options.json) print(fmt::format("already done: {} steps\n", end.step));
      return;
    case LoopEnd::Kind::finished:
      return;
  }
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

// "rank 3: stage 1, data 0, tensor 1"; "" of one rank alone.
std::string place_text(const Mesh& mesh) {
  const MeshPlace& place = mesh.place();
  return mesh.world().size() == 1 ? ""
                                  : fmt::format("rank {}: stage {}, data {}, tensor {}", mesh.world().rank(),
                                                place.pipeline, place.data, place.tensor);
}

// Collective. The first rank measures the ceilings, which takes a second, and prints.
void show_profile(Rank& rank, const RunProfile& profile, const Mesh& mesh, bool json) {
  std::vector<RankProfile> ranks;
  for (const std::string& text : texts_of(rank.world, to_text(profile.of_rank(place_text(mesh)))))
    ranks.push_back(rank_profile_from(text));
  if (!rank.first()) return;
  const profile::Ceilings ceilings = profile::measure_ceilings(*rank.device);
  print(json ? profile_json(ranks, ceilings) : profile_table(ranks, ceilings));
}

// Collective. Every rank has a track; on one host they have one clock, elsewhere each begins with its own
// first step.
void write_timeline(Rank& rank, const RunProfile& profile, const Mesh& mesh, const Options& options) {
  const int ranks = rank.world.size();
  TraceTrack track{.rank = rank.world.rank()};
  if (ranks > 1) {
    track.name = place_text(mesh);
    std::int64_t start[] = {-profile.timeline_start().time_since_epoch().count()};
    rank.world.wait(rank.world.all_reduce(start, IntegerReduction::maximum));
    if (share_of_host(rank.world).ranks == ranks)
      track.start = profile::Clock::time_point(profile::Clock::duration(-start[0]));
  }
  const std::vector<std::string> tracks = texts_of(rank.world, profile.timeline_events(track));
  if (!rank.first()) return;
  write_file_atomically(options.timeline, trace_of(tracks));
  if (!options.json)
    print(fmt::format("timeline: {} (ui.perfetto.dev opens it)\n", options.timeline.string()));
}

ExitCode show_dry_run(Rank& rank, const Options& options) {
  const std::filesystem::path folder = run_folder_of(options.request);
  if (options.request.minutes > 0 && !RunDirectory::is_run(folder) &&
      !fit_to_minutes(rank.config, *rank.device, *rank.data.train, Mesh(), options.request.minutes,
                      options.json)) {
    return ExitCode::stopped;
  }
  const DryRun run = dry_run(rank.config, *rank.device, rank.data, folder);
  print(options.json ? to_json(run) + "\n" : describe(run));
  return ExitCode::done;
}

Expected<void> check_dry_run(const Options& options, int ranks) {
  if (!options.dry_run || ranks == 1) return {};
  return refuse({.where = "--dry-run",
                 .found = fmt::format("{} ranks", ranks),
                 .allowed = "one rank",
                 .nearest = fmt::format("megalith plan check {} --ranks {}",
                                        options.request.config_file.string(), ranks)});
}

Rank prepare(const Options& options, Communicator& world) {
  require_one_build(world);
  const int threads = threads_of_rank(world);
  Rank rank = agreed(world, [&] {
    value_or_throw(look_for_shipped_config(options.request.config_file));
    value_or_throw(check_timeline(options.timeline));
    value_or_throw(check_dry_run(options, world.size()));
    TrainConfig config = wanted_config(options);
    const Layout layout = value_or_throw(layout_of(config, world.size()));
    std::unique_ptr<Device> device =
        value_or_throw(open_device(config.threads > 0 ? config.threads : threads));
    DataSources data = value_or_throw(open_data(config));
    value_or_throw(resolve_epochs(config, data.epoch_samples));
    return Rank{world, std::move(config), layout, std::move(device), std::move(data)};
  });
  require_one_config(world, rank.config);
  require_one_text(world, *rank.data.train, rank.config.batch.sequence);
  return rank;
}

// Somebody looks at a terminal. mpirun gives its ranks one of its own, wherever the lines go then.
bool is_watched() {
  const Expected<LaunchEnvironment> launched = launch_environment();
  return ::isatty(STDOUT_FILENO) == 1 && launched && launched->launcher.empty();
}

// The devices that compute at once, in numbers of this rank's: ranks may be more than processors.
double devices_at_once(Rank& rank) {
  const HostShare share = share_of_host(rank.world);
  const double wanted = static_cast<double>(share.ranks) * rank.device->num_threads();
  return rank.world.size() * (share.ranks == 1 ? 1.0 : std::min(1.0, share.processors / wanted));
}

// What the first rank alone has: the run's books, and what a person sees.
struct Books {
  Ledger ledger;
  MetricsSink metrics;
};

ExitCode train_rank(const Options& options, Communicator& world_of_ranks) {
  Rank rank = prepare(options, world_of_ranks);
  if (options.dry_run) return show_dry_run(rank, options);
  const bool first = rank.first();
  const bool quiet = options.json || !first;
  const std::optional<OpenRun> opened = open_run(rank, options);
  if (!opened) {
    if (first) complain("stopped before the run began; nothing was written, the same command starts it");
    return ExitCode::stopped;
  }
  const RunDirectory& run = opened->directory;
  const TrainConfig& config = rank.config;
  const DataSources& data = rank.data;

  std::optional<Books> books;
  agreed(rank.world, [&] {
    if (!first) return;
    books.emplace(Books{value_or_throw(Ledger::open(run.ledger_file())),
                        value_or_throw(MetricsSink::open(run, config.metrics.tensorboard))});
  });
  const RecordedRanks recorded(rank.world, run.folder());
  std::optional<RunProfile> profile;
  if (!options.timeline.empty() || options.profile)
    profile.emplace(*rank.device, *data.train, !options.timeline.empty());
  const bool watched = profile && rank.world.size() > 1;
  const Mesh mesh(rank.layout, watched ? profile->watched(recorded.world()) : recorded.world());
  Trainer trainer(config, profile ? profile->device() : *rank.device,
                  profile ? profile->train() : *data.train, mesh);
  const double devices = devices_at_once(rank);
  if (!quiet) print_plan(config, trainer, run, devices);
  const bool begun = number_from(rank.world, list_checkpoints(run.checkpoints()).empty() ? 0 : 1) != 0;
  if (!config.init.empty() && !begun) {
    value_or_throw(trainer.begin_with(value_or_throw(InitialWeights::open(config.init))));
    if (!quiet) print(fmt::format("begins with the weights of {}\n", config.init));
  }
  const Tokenizer* tokenizer = data.tokenizer ? &*data.tokenizer : nullptr;
  std::unique_ptr<LoopObserver> observer;
  if (first) {
    observer = std::make_unique<Progress>(
        config, trainer, run, books->metrics, data,
        ProgressStyle{.live = is_watched(), .json = options.json, .devices = devices});
  } else {
    observer = std::make_unique<FollowingRank>(config, trainer, data);
  }
  const LoopEnd end =
      run_loop(config, trainer, data.held_out_sets,
               {.ledger = books ? &books->ledger : nullptr,
                .checkpoints = run.checkpoints(),
                .frozen_config = to_toml(config),
                .tokenizer_json = tokenizer == nullptr ? "" : tokenizer->to_json()},
               fingerprint(*rank.device, config.numerics, sums_of_layout(config, mesh.layout())),
               profile ? profile->around(*observer) : *observer);
  if (options.profile) show_profile(rank, *profile, mesh, options.json);
  if (!options.timeline.empty()) write_timeline(rank, *profile, mesh, options);
  const ExitCode code = code_of(end);
  if (first) report_end(end, options);
  if (code != ExitCode::done) return code;
  const bool evaluated =
      number_from(rank.world, std::filesystem::exists(run.folder() / "report.html") ? 1 : 0) != 0;
  if (end.kind == LoopEnd::Kind::finished || !evaluated) {
    if (first) {
      finish(config, trainer, data, run, options.json);
    } else if (is_evaluated_finally(data)) {
      follow_final_evaluation(config, trainer, data);
    }
  }
  if (!quiet) print_next(config, run);
  return code;
}

ExitCode train(const Options& options) {
  watch_for_interrupts();
  return launch(options.ranks, [&](Communicator& world) { return train_rank(options, world); });
}

constexpr const char* kExamples = R"(Examples:
  megalith train configs/runs/tiny.toml                       without any file or download, seconds
  megalith train my.toml --run-dir runs/mine --minutes 30     as many steps as fit into half an hour
  megalith train my.toml --dry-run                            what it would be; nothing is written
  megalith train my.toml --profile --timeline steps.json      where the time of a step goes
  megalith train my.toml --ranks 4 --set parallel.tensor=2    four ranks, two replicas of two
  mpirun -n 4 megalith train my.toml                          the same as processes
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
  verb->add_option("--ranks", options->ranks,
                   "Train as so many ranks, threads of this process; mpirun and srun start processes instead")
      ->type_name("N")
      ->check(between(1, 1024));
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
