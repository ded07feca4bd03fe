// What every benchmark here does alike: warm-up, several rounds with the candidates taking turns (A B A B),
// minimum and spread, a ratio to a reference measured in the same run, and the machine in the first line.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace megalith::bench {

struct Options {
  bool json = false;
  int rounds = 7;
  int threads = 0;     // 0: every usable processor
  double seconds = 0;  // of rounds; 0: however long they take
  std::vector<std::string> rest;

  // Whether `rest` names it, or nothing.
  [[nodiscard]] bool wants(const std::string& name) const;
  // Whether `rest` names a part of it, or nothing.
  [[nodiscard]] bool names_part_of(const std::string& name) const;
};

// --json, --rounds N, --threads N, --seconds N; what else stands there is left in `rest`. Exits with 2 on
// anything malformed, and refuses a build without optimisation, whose figures mean nothing.
Options parse_options(int argc, char** argv);

// One thing to time.
struct Candidate {
  std::string name;
  double work = 0;  // units per call: FLOPs, bytes, tokens
  std::function<void()> call;
};

struct Timing {
  double best_seconds = 0;
  double median_seconds = 0;
  double worst_seconds = 0;
};

Timing timing_of(std::vector<double> seconds);

// Times all candidates in turn, `rounds` times each after one call that does not count. Where `seconds` is
// not 0, no round begins after so many seconds of rounds, but for the first.
std::vector<Timing> take_turns(const std::vector<Candidate>& candidates, int rounds, double seconds = 0);

// By the options' rounds and seconds.
std::vector<Timing> take_turns(const std::vector<Candidate>& candidates, const Options& options);

// Exits with 2: `problem`, and what is allowed instead.
[[noreturn]] void refuse(const std::string& problem, const std::string& allowed);

// Lines of a table, or of a JSON array: name, value, unit, reference, ratio, spread.
class Report {
 public:
  Report(const Options& options, const std::string& title);
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
  // `spread`: median over best time, 1 is quiet. reference 0: none.
  void add(const std::string& name, double value, const std::string& unit, double reference, double spread);
  // What was left out, and why.
  void skip(const std::string& name, const std::string& reason);
  // Refuses names of which no line has a part.
  void expect_lines(const Options& options) const;

 private:
  void add_item(const std::string& item);
  bool json_;
  bool empty_ = true;
  std::string items_;
};

}  // namespace megalith::bench
