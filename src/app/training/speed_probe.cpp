#include "app/training/speed_probe.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "app/interrupt.h"
#include "train/batch_schedule.h"
#include "train/trainer.h"

namespace megalith::app {

std::int64_t steps_that_fit(const TrainConfig& config, Device& device, const Dataset& train, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr double kProbeSeconds = 5;
  constexpr std::int64_t kLeastSteps = 10;
  Trainer trainer(config, device, train);
  const BatchSchedule batches(config.batch);
  std::vector<double> times;  // per sequence: steps of a ramp have more and more of them
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
  return std::max(kLeastSteps, batches.steps_for_samples(static_cast<std::int64_t>(seconds / *middle)));
}

}  // namespace megalith::app
