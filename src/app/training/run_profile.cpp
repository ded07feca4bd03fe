#include "app/training/run_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/training/timeline.h"
#include "device/profile/profiling_device.h"

namespace megalith::app {

using profile::Clock;
using profile::OperationLabel;
using profile::OperationTotal;

namespace {

constexpr std::size_t kKeptCalls = 1 << 17;  // 11 MB
constexpr std::size_t kKeptSections = 256;
constexpr double kSmallShare = 0.001;  // of a step: what takes less is one line of the table
constexpr OperationLabel kData{.name = "data"};
constexpr const char* kSectionNames[] = {"step", "validation", "sample", "checkpoint", "other"};

double seconds_of(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

// Data as an operation that declares no cost.
class TimedDataset final : public Dataset {
 public:
  TimedDataset(const Dataset& inner, profile::OperationLog& log) : inner_(inner), log_(log) {}

  void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override {
    const Clock::time_point begin = Clock::now();
    inner_.fill(sample_index, ids, targets, loss_mask, document_start);
    log_.record(kData, {}, begin, Clock::now());
  }
  [[nodiscard]] std::int64_t samples_per_epoch() const override { return inner_.samples_per_epoch(); }
  [[nodiscard]] std::span<const std::string> source_names() const override { return inner_.source_names(); }
  [[nodiscard]] std::int64_t samples_of_source(std::size_t source, std::int64_t samples) const override {
    return inner_.samples_of_source(source, samples);
  }
  [[nodiscard]] std::size_t source_of_sample(std::int64_t sample_index) const override {
    return inner_.source_of_sample(sample_index);
  }
  [[nodiscard]] double epochs_of_source(std::size_t source, std::int64_t samples) const override {
    return inner_.epochs_of_source(source, samples);
  }
  [[nodiscard]] std::string describe_sample(std::int64_t sample_index) const override {
    return inner_.describe_sample(sample_index);
  }

 private:
  const Dataset& inner_;
  profile::OperationLog& log_;  // the trainer fills its batches on one thread, the device's owner
};

std::string shape_text(const OperationLabel& label) {
  std::string text;
  for (const std::int64_t size : label.sizes) {
    if (size > 0) text += (text.empty() ? "" : "x") + std::to_string(size);
  }
  return text;
}

// The longest first.
std::vector<OperationTotal> sorted(std::vector<OperationTotal> totals) {
  std::stable_sort(totals.begin(), totals.end(),
                   [](const OperationTotal& a, const OperationTotal& b) { return a.time > b.time; });
  return totals;
}

std::string table_line(const OperationTotal& total, double steps, double step_seconds,
                       const profile::Ceilings& ceilings) {
  const double seconds = seconds_of(total.time);
  const bool costs = total.cost.bytes > 0 || total.cost.flops > 0;
  std::string line = fmt::format("{:<25} {:<4} {:<20} {:>7.4g} {:>9.3f} {:>6.1f}%", total.label.name,
                                 costs ? name_of(total.label.dtype) : "", shape_text(total.label),
                                 static_cast<double>(total.calls) / steps, 1e3 * seconds / steps,
                                 100 * seconds / step_seconds);
  if (costs) {
    const profile::RooflineShare share = roofline_share(total, ceilings);
    line += fmt::format(" {:>8.1f} {:>7.2f}  {:>4.0f}% of {}", 1e-9 * total.cost.flops / seconds,
                        1e-9 * total.cost.bytes / seconds, 100 * share.share,
                        share.by_memory ? "bandwidth" : "peak");
  }
  return line + "\n";
}

double time_in(const std::vector<OperationTotal>& totals) {
  double seconds = 0;
  for (const OperationTotal& total : totals) seconds += seconds_of(total.time);
  return seconds;
}

}  // namespace

// Time between two events belongs to what the later one announces.
class RunProfile::Observer final : public LoopObserver {
 public:
  Observer(RunProfile& profile, LoopObserver& inner) : profile_(profile), inner_(inner) {}

  void resumed(std::int64_t step, std::int64_t to_recheck, const Refusals& damaged) override {
    inner_.resumed(step, to_recheck, damaged);
    profile_.section_ends(Section::other, step);
  }
  void rechecked(std::int64_t steps) override { inner_.rechecked(steps); }
  void step_begins(std::int64_t step) override {
    inner_.step_begins(step);
    profile_.section_ends(Section::other, step);
    profile_.log_.count(true);
  }
  void step_done(const LedgerLine& line) override {
    profile_.section_ends(Section::step, line.step);
    profile_.log_.count(false);
    ++profile_.steps_;
    inner_.step_done(line);
    profile_.section_ends(Section::other, line.step);
  }
  void validated(std::int64_t step, std::string_view set, const Validation& validation) override {
    profile_.section_ends(Section::validation, step);
    inner_.validated(step, set, validation);
    profile_.section_ends(Section::other, step);
  }
  void sample_due(std::int64_t step) override {
    profile_.section_ends(Section::other, step);
    inner_.sample_due(step);
    profile_.section_ends(Section::sample, step);
  }
  void checkpoint_written(std::int64_t step, const std::filesystem::path& folder) override {
    profile_.section_ends(Section::checkpoint, step);
    inner_.checkpoint_written(step, folder);
    profile_.section_ends(Section::other, step);
  }
  bool stop_requested() override { return inner_.stop_requested(); }

 private:
  RunProfile& profile_;
  LoopObserver& inner_;
};

// Waiting for other ranks as an operation that declares no cost. What goes on meanwhile is the communicator's
// business; only what the rank stands still for is time of its step.
class RunProfile::Waits final : public CommunicationObserver {
 public:
  explicit Waits(profile::OperationLog& log) : log_(log) {}
  int opened(const Communicator&) override { return 0; }
  void entered(ObservedOperation&) override {}
  void waiting(ObservedOperation&) override { began_ = Clock::now(); }
  void left(ObservedOperation& operation) override {
    constexpr std::array<const char*, kNumOperationKinds> kNames = {
        "wait for all_gather",     "wait for all_to_all", "wait for broadcast", "wait for all_reduce",
        "wait for reduce_scatter", "wait for send",       "wait for receive"};
    log_.record({.name = kNames.at(static_cast<std::size_t>(operation.kind)),
                 .sizes = {static_cast<std::int64_t>(operation.bytes)}},
                {}, began_, Clock::now());
  }

 private:
  profile::OperationLog& log_;
  Clock::time_point began_;
};

Communicator& RunProfile::watched(Communicator& world) {
  waits_ = std::make_unique<Waits>(log_);
  world_ = observe(world, *waits_);
  return *world_;
}

RunProfile::RunProfile(Device& device, const Dataset& train, bool timeline)
    : inner_(device),
      log_(timeline ? kKeptCalls : 0),
      sections_(timeline ? kKeptSections : 0),
      device_(profile::make_profiling_device(device, log_)),
      train_(std::make_unique<TimedDataset>(train, log_)) {
  log_.count(false);
}
RunProfile::~RunProfile() = default;

LoopObserver& RunProfile::around(LoopObserver& observer) {
  observer_ = std::make_unique<Observer>(*this, observer);
  section_begins();
  return *observer_;
}

void RunProfile::section_ends(Section section, std::int64_t step) {
  const Clock::time_point now = Clock::now();
  const auto index = static_cast<std::size_t>(section);
  time_.at(index) += now - mark_;
  if (section != Section::other) {
    sections_.add(
        {.label = {.name = kSectionNames[index], .sizes = {step}}, .begin = mark_, .end = now, .cost = {}});
  }
  mark_ = now;
}

std::string RunProfile::table() {
  if (steps_ == 0) return "profile: no step was done\n";
  const profile::Ceilings ceilings = profile::measure_ceilings(inner_);
  const auto steps = static_cast<double>(steps_);
  const double step_seconds = seconds_of(time_[0]);
  const std::vector<OperationTotal> totals = sorted(log_.totals());
  std::string text = fmt::format(
      "\nprofile of {} steps, {:.2f} ms each; ceilings measured here: {:.0f} GFLOP/s bf16, {:.0f} f32, "
      "{:.1f} GB/s copied\n",
      steps_, 1e3 * step_seconds / steps, 1e-9 * ceilings.bf16_flops, 1e-9 * ceilings.f32_flops,
      1e-9 * ceilings.bandwidth);
  text += fmt::format("{:<30} {:<20} {:>7} {:>9} {:>7} {:>8} {:>7}  {}\n", "operation", "shape", "calls",
                      "ms", "of step", "GFLOP/s", "GB/s", "of its ceiling");
  const auto small = std::find_if(totals.begin(), totals.end(), [&](const OperationTotal& total) {
    return seconds_of(total.time) < kSmallShare * step_seconds;
  });
  for (auto total = totals.begin(); total != small; ++total)
    text += table_line(*total, steps, step_seconds, ceilings);
  const std::vector<OperationTotal> folded(small, totals.end());
  if (!folded.empty()) {
    text += fmt::format("{:<58} {:>9.3f} {:>6.1f}%\n", fmt::format("{} smaller ones", folded.size()),
                        1e3 * time_in(folded) / steps, 100 * time_in(folded) / step_seconds);
  }
  const double rest = step_seconds - time_in(totals);
  text += fmt::format("{:<58} {:>9.3f} {:>6.1f}%\n", "not in operations", 1e3 * rest / steps,
                      100 * rest / step_seconds);
  text += fmt::format(
      "outside the steps: validation {:.2f} s, samples {:.2f} s, checkpoints {:.2f} s, other {:.2f} s\n",
      seconds_of(time_[1]), seconds_of(time_[2]), seconds_of(time_[3]), seconds_of(time_[4]));
  return text + "(FLOPs and bytes as operations declare them; above 100%: operands were still in a cache)\n";
}

std::string RunProfile::json() {
  const profile::Ceilings ceilings = profile::measure_ceilings(inner_);
  nlohmann::json operations = nlohmann::json::array();
  const std::vector<OperationTotal> totals = sorted(log_.totals());
  for (const OperationTotal& total : totals) {
    const profile::RooflineShare share = roofline_share(total, ceilings);
    nlohmann::json shape = nlohmann::json::array();
    for (const std::int64_t size : total.label.sizes) {
      if (size > 0) shape.push_back(size);
    }
    operations.push_back({{"operation", total.label.name},
                          {"dtype", name_of(total.label.dtype)},
                          {"shape", shape},
                          {"calls", total.calls},
                          {"seconds", seconds_of(total.time)},
                          {"flops", total.cost.flops},
                          {"bytes", total.cost.bytes},
                          {"share_of_ceiling", share.share},
                          {"bound", share.by_memory ? "bandwidth" : "peak"}});
  }
  nlohmann::json outside;
  for (std::size_t i = 1; i < time_.size(); ++i) outside[kSectionNames[i]] = seconds_of(time_.at(i));
  const nlohmann::json object = {{"profile",
                                  {{"steps", steps_},
                                   {"step_seconds", seconds_of(time_[0])},
                                   {"not_in_operations_seconds", seconds_of(time_[0]) - time_in(totals)},
                                   {"outside_seconds", outside},
                                   {"peak_flops_bf16", ceilings.bf16_flops},
                                   {"peak_flops_f32", ceilings.f32_flops},
                                   {"copy_bytes_per_second", ceilings.bandwidth},
                                   {"operations", operations}}}};
  return object.dump() + "\n";
}

Clock::time_point RunProfile::timeline_start() const {
  const std::vector<profile::Span> sections = sections_.in_order();
  return sections.empty() ? Clock::now() : sections.front().begin;
}

std::string RunProfile::timeline_events(const TraceTrack& track) const {
  const std::vector<profile::Span> calls = log_.spans();
  return track_events(track, sections_.in_order(), calls, calls.size() == kKeptCalls);
}

}  // namespace megalith::app
