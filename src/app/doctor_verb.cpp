// megalith doctor: what works on this machine and why not.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "app/build_facts.h"
#include "app/console.h"
#include "app/doctor/check.h"
#include "app/launch/recorded_ranks.h"
#include "app/verbs.h"
#include "comm/flight/ring_reader.h"

namespace megalith::app {
namespace {

struct Options {
  bool json = false;
  std::filesystem::path run;     // of which the ranks are told; empty: the machine
  std::filesystem::path config;  // whose grain is measured; empty: a typical one
};

const char* name_of(CheckState state) {
  switch (state) {
    case CheckState::ok:
      return "ok";
    case CheckState::missing:
      return "missing";
    case CheckState::warning:
      return "warning";
  }
  return "?";
}

void print_text(const Checks& checks) {
  int warnings = 0;
  for (const Check& check : checks) {
    print(fmt::format("{:<8} {:<11} {}\n", name_of(check.state), check.name, check.found));
    if (!check.why.empty()) print(fmt::format("{:21}{}\n", "", check.why));
    if (!check.to_do.empty()) print(fmt::format("{:21}-> {}\n", "", check.to_do));
    warnings += check.state == CheckState::warning ? 1 : 0;
  }
  print(warnings == 0 ? "\nReady to train on this machine.\n"
                      : fmt::format("\nReady to train; {} of these lines asks for a look.\n", warnings));
}

void print_json(const Checks& checks) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Check& check : checks) {
    list.push_back({{"name", check.name},
                    {"state", name_of(check.state)},
                    {"found", check.found},
                    {"why", check.why},
                    {"to_do", check.to_do}});
  }
  const nlohmann::ordered_json report = {{"version", build_facts().version}, {"checks", list}};
  // Names come from the environment and may hold any bytes.
  print(report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

nlohmann::ordered_json to_json(const RankRing& ring) {
  nlohmann::ordered_json last = nlohmann::ordered_json::array();
  for (const RingEntry& entry : ring.last) {
    last.push_back({{"operation", name_of(entry.kind)},
                    {"group", entry.group},
                    {"number", entry.number},
                    {"bytes", entry.bytes},
                    {"peer", entry.peer},
                    {"entered_ns", entry.entered},
                    {"waiting_ns", entry.waiting},
                    {"left_ns", entry.left}});
  }
  return {{"rank", ring.rank},       {"ranks", ring.ranks},     {"host", ring.host},
          {"process", ring.process}, {"entered", ring.entered}, {"last", std::move(last)}};
}

// What the ranks of a run said last, dead or alive.
ExitCode tell_ranks(const Options& options) {
  constexpr std::size_t kShown = 8;
  const std::vector<RankRing> rings = value_or_throw(read_rings(rings_folder(options.run)));
  if (!options.json) {
    print(to_text(rings, kShown));
    return ExitCode::done;
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const RankRing& ring : rings) list.push_back(to_json(ring));
  print(list.dump(2) + "\n");
  return ExitCode::done;
}

ExitCode doctor(const Options& options) {
  if (!options.run.empty()) return tell_ranks(options);
  Checks checks = machine_checks();
  checks.push_back(grain_check(options.config));
  for (Check& check : provider_checks()) checks.push_back(std::move(check));
  if (options.json) {
    print_json(checks);
  } else {
    print_text(checks);
  }
  return ExitCode::done;  // something optional that is missing is a finding, not a failure
}

constexpr const char* kExamples = R"(Examples:
  megalith doctor                      what works here, why not, and what to do about it
  megalith doctor --json               the same for a script
  megalith doctor --config my.toml     the same, with the price of exact bits and the grain for this config
  megalith doctor --run runs/mine      what each rank of a parallel run said last
  MEGALITH_ISA=avx2 megalith doctor    with the AVX2 kernels forced (portable, avx2, avx512, avx512_bf16)
)";

}  // namespace

void add_doctor_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("doctor", "What works on this machine and why not");
  verb->footer(kExamples);
  verb->add_flag("--json", options->json, "Print one JSON object");
  CLI::Option* of_config =
      verb->add_option("--config", options->config, "Measure what exact bits cost this config, by grain")
          ->type_name("CONFIG");
  verb->add_option("--run", options->run, "Tell instead what the ranks of a run did last, dead or alive")
      ->type_name("RUN")
      ->excludes(of_config);
  verb->callback([options, &run] { run = [options] { return doctor(*options); }; });
}

}  // namespace megalith::app
