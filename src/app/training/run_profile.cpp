#include "app/training/run_profile.h"

#include <algorithm>
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
constexpr OperationLabel kData{.name = "data"};

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
    : log_(timeline ? kKeptCalls : 0),
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
        {.label = {.name = name_of(section), .sizes = {step}}, .begin = mark_, .end = now, .cost = {}});
  }
  mark_ = now;
}

RankProfile RunProfile::of_rank(const std::string& place) const {
  RankProfile rank{.place = place, .steps = steps_, .seconds = {}, .operations = {}};
  std::transform(time_.begin(), time_.end(), rank.seconds.begin(), seconds_of);
  for (const OperationTotal& total : log_.totals()) {
    rank.operations.push_back({.name = total.label.name,
                               .dtype = total.label.dtype,
                               .arithmetic = total.label.arithmetic,
                               .sizes = total.label.sizes,
                               .calls = static_cast<double>(total.calls),
                               .seconds = seconds_of(total.time),
                               .cost = total.cost});
  }
  return rank;
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
