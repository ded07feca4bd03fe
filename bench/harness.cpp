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

int number(const char* name, const char* text) {
  const int value = text == nullptr ? 0 : std::atoi(text);
  if (value < 1) refuse(fmt::format("{} {}", name, text == nullptr ? "" : text), "a number from 1 on");
  return value;
}

}  // namespace

void refuse(const std::string& problem, const std::string& allowed) {
  fmt::print(stderr, "{}; allowed: {}\n", problem, allowed);
  std::exit(2);
}

bool Options::wants(const std::string& name) const {
  return rest.empty() || std::find(rest.begin(), rest.end(), name) != rest.end();
}

bool Options::names_part_of(const std::string& name) const {
  return rest.empty() || std::any_of(rest.begin(), rest.end(), [&](const std::string& part) {
           return name.find(part) != std::string::npos;
         });
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
    } else if (argument == "--seconds") {
      options.seconds = number("--seconds", argv[++i]);
    } else {
      options.rest.push_back(argument);
    }
  }
  return options;
}

Timing timing_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2], seconds.back()};
}

std::vector<Timing> take_turns(const std::vector<Candidate>& candidates, int rounds, double most) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::vector<double>> seconds(candidates.size());
  for (const Candidate& candidate : candidates) candidate.call();
  const Clock::time_point first = Clock::now();
  for (int round = 0; round < rounds; ++round) {
    const double passed = std::chrono::duration<double>(Clock::now() - first).count();
    if (round > 0 && most > 0 && passed > most) break;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const Clock::time_point start = Clock::now();
      candidates[c].call();
      seconds[c].push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  std::vector<Timing> timings;
  for (std::vector<double>& times : seconds) timings.push_back(timing_of(std::move(times)));
  return timings;
}

std::vector<Timing> take_turns(const std::vector<Candidate>& candidates, const Options& options) {
  return take_turns(candidates, options.rounds, options.seconds);
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
  empty_ = false;
  const double ratio = reference > 0 ? value / reference : 0;
  if (json_) {
    add_item(fmt::format(
        R"({{"name": "{}", "value": {:.6g}, "unit": "{}", "reference": {:.6g}, "ratio": {:.4f}, "spread": {:.4f}}})",
        name, value, unit, reference, ratio, spread));
    return;
  }
  fmt::print("{:<52} {:>9.4g} {:<9}", name, value, unit);
  if (reference > 0) fmt::print(" {:>5.1f}% of {:.4g}", 100 * ratio, reference);
  fmt::print("   median/best {:.2f}\n", spread);
  std::fflush(stdout);
}

void Report::skip(const std::string& name, const std::string& reason) {
  empty_ = false;
  if (json_) {
    add_item(fmt::format(R"({{"name": "{}", "skipped": "{}"}})", name, reason));
  } else {
    fmt::print("{:<52} not run: {}\n", name, reason);
  }
}

void Report::expect_lines(const Options& options) const {
  if (empty_)
    refuse(fmt::format("{}", fmt::join(options.rest, " ")), "parts of the names that stand here without any");
}

void Report::add_item(const std::string& item) {
  items_ += items_.empty() ? "" : ",\n ";
  items_ += item;
}

}  // namespace megalith::bench
