#include "harness.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace megalith::bench {
namespace {

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

[[noreturn]] void usage(const std::string& problem) {
  fmt::print(stderr, "{}; allowed: --json, --rounds N, --threads N\n", problem);
  std::exit(2);
}

int number(const char* name, const char* text) {
  const int value = text == nullptr ? 0 : std::atoi(text);
  if (value < 1) usage(fmt::format("{}: a number from 1 on is wanted", name));
  return value;
}

}  // namespace

bool Options::wants(const std::string& name) const {
  return rest.empty() || std::find(rest.begin(), rest.end(), name) != rest.end();
}

Options parse_options(int argc, char** argv) {
#ifndef __OPTIMIZE__
  fmt::print(stderr, "this build is not optimised: its figures would mean nothing\n");
  std::exit(2);
#endif
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--rounds") {
      options.rounds = number("--rounds", argv[++i]);
    } else if (argument == "--threads") {
      options.threads = number("--threads", argv[++i]);
    } else {
      options.rest.push_back(argument);
    }
  }
  return options;
}

std::vector<Timing> take_turns(const std::vector<Candidate>& candidates, int rounds) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::vector<double>> seconds(candidates.size());
  for (const Candidate& candidate : candidates) candidate.call();
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const Clock::time_point start = Clock::now();
      candidates[c].call();
      seconds[c].push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  std::vector<Timing> timings;
  for (std::vector<double>& times : seconds) {
    std::sort(times.begin(), times.end());
    timings.push_back({times.front(), times[times.size() / 2], times.back()});
  }
  return timings;
}

Report::Report(const Options& options, const std::string& title) : json_(options.json) {
  if (json_) return;
  fmt::print("{} on {}, {} rounds taking turns, best of them\n", title, processor(), options.rounds);
}

Report::~Report() {
  if (json_) fmt::print("[{}]\n", items_);
}

void Report::add(const std::string& name, double value, const std::string& unit, double reference,
                 double spread) {
  const double ratio = reference > 0 ? value / reference : 0;
  if (json_) {
    items_ += fmt::format(
        R"({}{{"name": "{}", "value": {:.6g}, "unit": "{}", "reference": {:.6g}, "ratio": {:.4f}, "spread": {:.4f}}})",
        items_.empty() ? "" : ",\n ", name, value, unit, reference, ratio, spread);
    return;
  }
  fmt::print("{:<52} {:>9.4g} {:<9}", name, value, unit);
  if (reference > 0) fmt::print(" {:>5.1f}% of {:.4g}", 100 * ratio, reference);
  fmt::print("   median/best {:.2f}\n", spread);
  std::fflush(stdout);
}

}  // namespace megalith::bench
