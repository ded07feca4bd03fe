#include "app/training/speed_probe.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "app/interrupt.h"
#include "train/batch_schedule.h"
#include "train/trainer.h"

namespace megalith::app {

double seconds_per_sequence(const TrainConfig& config, Device& device, const Dataset& train) {
  using Clock = std::chrono::steady_clock;
  constexpr double kProbeSeconds = 5;
  const BatchSchedule batches(config.batch);
  Trainer trainer(config, device, train);
  std::vector<double> times;
  const Clock::time_point start = Clock::now();
  const auto elapsed = [](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  for (std::int64_t step = 0; (elapsed(start) < kProbeSeconds || step < 3) && !interrupted(); ++step) {
    const Clock::time_point before = Clock::now();
    trainer.run_step(step);
    if (step == 0) continue;  // touches its memory for the first time
    times.push_back(elapsed(before) / static_cast<double>(batches.sequences(step)));
  }
  if (interrupted()) return 0;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

std::int64_t steps_that_fit(const TrainConfig& config, Device& device, const Dataset& train, double seconds) {
  constexpr std::int64_t kLeastSteps = 10;
  const double of_sequence = seconds_per_sequence(config, device, train);
  if (of_sequence == 0) return 0;
  const auto sequences = static_cast<std::int64_t>(seconds / of_sequence);
  return std::max(kLeastSteps, BatchSchedule(config.batch).steps_for_samples(sequences));
}

}  // namespace megalith::app
