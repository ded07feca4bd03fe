// megalith verify-layout CONFIG --ranks N: the same bits in every layout, shown.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "app/configs_folder.h"
#include "app/console.h"
#include "app/interrupt.h"
#include "app/loaded_model.h"
#include "app/number_range.h"
#include "app/plan/plan_check.h"
#include "app/training/data_sources.h"
#include "app/training/memory_use.h"
#include "app/verbs.h"
#include "app/verify/layout_check.h"
#include "comm/launch_environment.h"
#include "comm/mpi/mpi_ranks.h"
#include "core/thread_pool.h"

namespace megalith::app {
namespace {

struct Options {
  std::filesystem::path config_file;
  std::vector<std::string> overrides;
  std::int64_t ranks = 1;
  std::int64_t steps = 3;
  std::string launcher = "threads";
  std::string inject;
  bool all = false;
  bool json = false;
};

// Words of the command that runs, program first, as Linux tells them.
std::vector<std::string> command_line_of_this_process() {
  std::vector<std::string> words;
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  if (words.empty()) throw WorldFailed("the command line cannot be read from /proc/self/cmdline");
  words.front() = std::filesystem::read_symlink("/proc/self/exe").string();
  return words;
}

// The fault of --inject, and the layouts that could not be told apart by it gone.
std::optional<PlantedFault> planted(const TrainConfig& config, const Options& options,
                                    const std::vector<ParallelConfig>& chosen) {
  if (options.inject.empty()) return std::nullopt;
  const auto& faults = injectable_faults();
  const auto place = std::find_if(faults.begin(), faults.end(),
                                  [&](const auto& fault) { return fault.name == options.inject; });
  MEGALITH_CHECK(place != faults.end(), "{}", options.inject);
  bool shows = false;
  std::int64_t fewest = config.batch.micro;  // sequences of a micro batch where it shows
  for (const ParallelConfig& parallel : chosen) {
    if (parallel.tensor < place->tensor || parallel.data < place->data) continue;
    shows = true;
    TrainConfig laid_out = config;
    laid_out.parallel = parallel;
    fewest = std::min(fewest, sequences_at_once(laid_out, layout_of(parallel)));
  }
  PlantedFault fault = place->fault;
  if (fault.kind == FaultKind::sum_order) {  // partial sums cross over in f32, what else does is smaller
    fault.least_values =
        static_cast<std::size_t>(fewest * config.batch.sequence * config.model.hidden) * sizeof(float);
  }
  if (shows) return fault;
  throw RefusedInput({{.where = "--inject",
                       .found = options.inject + ", which shows in none of the layouts",
                       .allowed = fmt::format("a fault of layouts with tensor {} and data {} or more",
                                              place->tensor, place->data),
                       .nearest = fmt::format("--ranks {}", place->tensor * place->data)}});
}

std::vector<ParallelConfig> chosen_layouts(const LoadedConfig& config, const LayoutCensus& census,
                                           const Options& options) {
  if (!census.legal.empty()) return options.all ? census.legal : covering_variants(census);
  Refusals refusals;
  for (const LayoutRefusal& broken : broken_layout_rules(config.values, options.ranks, config.registry))
    refusals.push_back(broken.refusal);
  if (refusals.empty()) {
    refusals.push_back({.where = "--ranks",
                        .found = std::to_string(options.ranks),
                        .allowed = "a number of ranks that has a legal layout",
                        .nearest = "1"});
  }
  throw RefusedInput(std::move(refusals));
}

// Where the comparison stands, on a terminal one line that is written over.
class Eta {
 public:
  Eta(std::size_t layouts, bool live) : layouts_(layouts), live_(live) {}
  void show(std::size_t done, double seconds) {
    if (!live_) return;
    const double left = seconds / static_cast<double>(done) * static_cast<double>(layouts_ - done);
    print(fmt::format("{} of {} layouts, about {:.0f} s left\r", done, layouts_, left));
    flush_output();
  }
  void clear() {
    if (live_) print("\r\x1b[K");
  }

 private:
  std::size_t layouts_;
  bool live_;
};

struct Comparison {
  const Options& options;
  const TrainConfig& config;
  const Dataset& train;
  const Ranks& ranks;
  const LayoutCensus& census;
  const std::vector<ParallelConfig>& chosen;
  const std::optional<PlantedFault>& fault;

  [[nodiscard]] bool talks() const { return ranks.leads() && !options.json; }
};

void run_all(const Comparison& run, const TrialSetup& setup, LayoutCheck& check) {
  Eta eta(run.chosen.size(), run.talks() && run.ranks.are_threads() && ::isatty(STDOUT_FILENO) == 1);
  double seconds = 0;
  for (const ParallelConfig& parallel : run.chosen) {
    if (run.ranks.told(interrupted() || output_is_gone() ? "stop" : "") == "stop") break;
    check.layouts.push_back(check_layout(run.config, parallel, setup, check.one_rank, run.ranks));
    seconds += check.layouts.back().seconds;
    if (!run.talks()) continue;
    eta.clear();
    print(table_row(check.layouts.back()));
    eta.show(check.layouts.size(), seconds);
  }
  eta.clear();
}

void announce(const LayoutCheck& check, std::size_t chosen, const Options& options) {
  print(fmt::format(
      "{} layouts of {} rank{}, {} of {} legal ones{}, {} steps each; one rank took {:.1f} s, so about "
      "{:.0f} s in "
      "all\n\n",
      chosen, check.ranks, check.ranks == 1 ? "" : "s", options.all ? "all" : "a selection",
      check.census.legal.size(),
      options.all ? "" : " (every value of every key in every layout; --all runs them all)", check.steps,
      check.one_rank_seconds, check.one_rank_seconds * static_cast<double>(chosen) * 1.5));
}

// Names the tensors of the first difference. What fails here leaves the difference as it was found.
void look_closer(const Comparison& run, const TrialSetup& setup, LayoutCheck& check) {
  const CheckedLayout* unequal = run.ranks.leads() ? check.first_unequal() : nullptr;
  const bool comparable = unequal != nullptr && unequal->difference;
  const std::string place = run.ranks.told(
      comparable ? fmt::format("{} {}", unequal - check.layouts.data(), unequal->difference->step) : "");
  if (place.empty()) return;
  std::size_t end = 0;
  const std::size_t layout = std::stoul(place, &end);
  try {
    check.tensors = find_tensors(run.config, check.layouts[layout].parallel, std::stoll(place.substr(end)),
                                 setup, run.ranks);
  } catch (const WorldFailed& failure) {
    check.tensors_unknown = failure.what();
  }
}

ExitCode compare(const Comparison& run) {
  const Options& options = run.options;
  LayoutCheck check{.ranks = options.ranks, .steps = options.steps, .census = run.census};
  const std::int64_t usable = run.config.threads > 0 ? run.config.threads : usable_processors();
  TrialSetup setup{.train = run.train, .make_device = {}, .steps = options.steps};
  setup.make_device = [usable] { return value_or_throw(open_device(usable)); };
  const CheckedLayout one_rank = check_layout(run.config, {.data = 1}, setup, {}, run.ranks);
  if (!one_rank.failure.empty()) throw WorldFailed(one_rank.failure);
  check.one_rank = one_rank.trial;
  check.one_rank_seconds = one_rank.seconds;
  if (run.talks()) {
    announce(check, run.chosen.size(), options);
    print(table_heading() + table_row("one rank", {}, check.one_rank, ""));
  }
  setup.make_device = [threads = std::max<std::int64_t>(usable / options.ranks, 1)] {
    return value_or_throw(open_device(threads));
  };
  setup.fault = run.fault;
  run_all(run, setup, check);
  look_closer(run, setup, check);
  if (!run.ranks.leads()) return ExitCode::done;
  print(options.json ? to_json(check) + "\n" : verdict_of(check));
  if (check.first_unequal() != nullptr) return ExitCode::failed;
  return check.layouts.size() == run.chosen.size() ? ExitCode::done : ExitCode::stopped;
}

void require_exact(const LoadedConfig& config) {
  if (config.values.numerics.mode == NumericsMode::exact) return;
  throw RefusedInput(
      {{.where = config.registry.where("numerics.mode"),
        .found = config.registry.at("numerics.mode").show(),
        .allowed = "\"exact\": fast promises equal bits within one layout, not between layouts",
        .nearest = "--set numerics.mode=exact"}});
}

// Becomes mpirun, which starts this same command once per rank.
[[noreturn]] void become_mpirun(const Options& options) {
  const MpiSupport mpi = mpi_support();
  if (!mpi.present) {
    throw RefusedInput({{.where = "--launcher",
                         .found = "mpirun, but " + mpi.text,
                         .allowed = "threads, or a build with MPI",
                         .nearest = "--launcher threads"}});
  }
  std::vector<std::string> words = {"mpirun", "--oversubscribe", "-n", std::to_string(options.ranks)};
  for (std::string& word : command_line_of_this_process()) words.push_back(std::move(word));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  throw WorldFailed(
      fmt::format("starting mpirun: {}", std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
}

ExitCode verify_layout(const Options& options) {
  const LaunchEnvironment launched = value_or_throw(launch_environment());
  if (options.launcher == "mpirun" && launched.launcher.empty()) become_mpirun(options);
  if (!launched.launcher.empty() && launched.ranks != options.ranks) {
    throw RefusedInput(
        {{.where = "--ranks",
          .found = std::to_string(options.ranks),
          .allowed = fmt::format("the {} ranks that {} started", launched.ranks, launched.launcher),
          .nearest = std::to_string(launched.ranks)}});
  }
  watch_for_interrupts();
  value_or_throw(look_for_shipped_config(options.config_file));
  const auto loaded = value_or_throw(
      load_config_with_keys(options.config_file, options.overrides, configs_folder(options.config_file)));
  require_exact(*loaded);
  TrainConfig config = loaded->values;
  const LayoutCensus census = all_variants(config, options.ranks);
  const std::vector<ParallelConfig> chosen = chosen_layouts(*loaded, census, options);
  const std::optional<PlantedFault> fault = planted(config, options, chosen);
  const DataSources data = value_or_throw(open_data(config));
  value_or_throw(resolve_epochs(config, data.epoch_samples));
  for (const ParallelConfig& parallel : chosen) {
    config.parallel = parallel;
    require_memory(config, layout_of(parallel), static_cast<int>(options.ranks));
  }
  config.parallel = loaded->values.parallel;
  const auto with = [&](const Ranks& ranks) {
    return compare({.options = options,
                    .config = config,
                    .train = *data.train,
                    .ranks = ranks,
                    .census = census,
                    .chosen = chosen,
                    .fault = fault});
  };
  if (launched.launcher.empty()) return with(Ranks());
  return static_cast<ExitCode>(
      run_mpi_rank([&](Communicator& world) { return static_cast<int>(with(Ranks(world))); }));
}

constexpr const char* kExamples = R"(Examples:
  megalith verify-layout configs/runs/tiny.toml --ranks 8                      seconds; exit code 0: all equal
  megalith verify-layout configs/runs/tiny.toml --ranks 4 --inject sum-order   what it says when they are not
  megalith verify-layout configs/runs/tiny.toml --ranks 4 --launcher mpirun    the same with processes for ranks
)";

}  // namespace

void add_verify_layout_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "verify-layout", "Train a few steps in every layout of so many ranks and compare the bits");
  verb->footer(kExamples);
  verb->add_option("CONFIG", options->config_file, "TOML file, such as configs/runs/tiny.toml")->required();
  verb->add_option("--set", options->overrides, "A value over the file's; may be repeated")
      ->type_name("KEY=VALUE");
  verb->add_option("--ranks", options->ranks, "Ranks of each layout")->required()->check(between(1, 4096));
  verb->add_option("--steps", options->steps, "Training steps in each layout")
      ->capture_default_str()
      ->check(between(1, 1e6));
  verb->add_option("--launcher", options->launcher,
                   "What ranks are: threads of this process, or processes of mpirun")
      ->capture_default_str()
      ->check(CLI::IsMember({"threads", "mpirun"}));
  std::vector<std::string> names;
  for (const InjectableFault& fault : injectable_faults()) names.emplace_back(fault.name);
  verb->add_option("--inject", options->inject, "Plant a fault in the ranks' talk, to see it found")
      ->check(CLI::IsMember(names));
  verb->add_flag("--all", options->all,
                 "Every legal combination of schedule, ZeRO, recomputation and sequence "
                 "parallelism, not a selection");
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options, &run] { run = [options] { return verify_layout(*options); }; });
}

}  // namespace megalith::app
