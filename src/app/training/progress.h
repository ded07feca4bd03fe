// What a person sees of a training run, and what metrics.jsonl and samples/ keep of it. The only place of
// training that asks the clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "app/training/data_sources.h"
#include "app/training/energy_meter.h"
#include "app/training/metrics_sink.h"
#include "app/training/step_norms.h"
#include "run/run_directory.h"
#include "train/batch_schedule.h"
#include "train/loop.h"

namespace megalith::app {

// Where lines go and how often.
struct ProgressStyle {
  bool live = false;   // a terminal: one line that is written over
  bool json = false;   // one JSON object per line, nothing else on standard output
  double devices = 1;  // like this one that compute at once: their peaks add up
};

class Progress final : public LoopObserver {
 public:
  Progress(const TrainConfig& config, Trainer& trainer, const RunDirectory& run, MetricsSink& metrics,
           const DataSources& data, ProgressStyle style);

  void resumed(std::int64_t step, std::int64_t to_recheck, const Refusals& damaged) override;
  void rechecked(std::int64_t steps) override;
  void step_begins(std::int64_t step) override;
  void step_done(const LedgerLine& line) override;
  void validated(std::int64_t step, std::string_view set, const Validation& validation) override;
  void sample_due(std::int64_t step) override;
  void checkpoint_written(std::int64_t step, const std::filesystem::path& folder) override;
  bool stop_requested() override;

  [[nodiscard]] double tokens_per_second() const;

 private:
  using Clock = std::chrono::steady_clock;
  void begin_measuring();             // time and energy of a step
  void say(const std::string& line);  // a line that stays
  void note_batch(std::int64_t step);
  void note_sources(const LedgerLine& line);
  void note_norms(const LedgerLine& line);
  void note_memory(std::int64_t step);
  void show_step(const LedgerLine& line, double share_of_peak);

  const TrainConfig& config_;
  BatchSchedule batches_;
  Trainer& trainer_;
  const RunDirectory& run_;
  MetricsSink& metrics_;
  const DataSources& data_;
  ProgressStyle style_;
  StepNorms norms_;
  EnergyMeter energy_;
  double flops_per_token_causal_;
  double flops_per_token_palm_;
  double peak_flops_;
  Clock::time_point step_start_ = Clock::now();
  Clock::time_point last_shown_{};
  double seconds_ = 0;         // of steps in this process, saves and samples left out
  std::int64_t tokens_ = 0;    // in this process
  bool memory_noted_ = false;  // after the first step of this process; once more after the last one
  bool live_line_open_ = false;
};

}  // namespace megalith::app
