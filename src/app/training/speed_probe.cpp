#include "app/training/speed_probe.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <vector>

#include "app/interrupt.h"
#include "comm/exchange.h"
#include "train/batch_schedule.h"
#include "train/trainer.h"

namespace megalith::app {

double seconds_per_sequence(const TrainConfig& config, Device& device, const Dataset& train,
                            const Mesh& mesh) {
  using Clock = std::chrono::steady_clock;
  constexpr double kProbeSeconds = 5;
  const BatchSchedule batches(config.batch);
  Trainer trainer(config, device, train, mesh);
  std::vector<double> times;
  bool stopped = false;
  const Clock::time_point start = Clock::now();
  const auto elapsed = [](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  // The first rank's clock counts, and an interrupt of any.
  const auto is_over = [&](std::int64_t step) {
    const bool enough = step >= 3 && elapsed(start) >= kProbeSeconds && mesh.world().rank() == 0;
    const std::int64_t wishes = union_of(mesh.world(), (enough ? 1 : 0) | (interrupted() ? 2 : 0));
    stopped = (wishes & 2) != 0;
    return wishes != 0;
  };
  for (std::int64_t step = 0; !is_over(step); ++step) {
    const Clock::time_point before = Clock::now();
    trainer.run_step(step);
    if (step == 0) continue;  // touches its memory for the first time
    times.push_back(elapsed(before) / static_cast<double>(batches.sequences(step)));
  }
  if (stopped) return 0;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  double seconds = *middle;
  mesh.world().wait(mesh.world().broadcast(std::as_writable_bytes(std::span(&seconds, 1)), 0));
  return seconds;
}

std::int64_t steps_that_fit(const TrainConfig& config, Device& device, const Dataset& train, const Mesh& mesh,
                            double seconds) {
  constexpr std::int64_t kLeastSteps = 10;
  const double of_sequence = seconds_per_sequence(config, device, train, mesh);
  if (of_sequence == 0) return 0;
  const auto sequences = static_cast<std::int64_t>(seconds / of_sequence);
  return std::max(kLeastSteps, BatchSchedule(config.batch).steps_for_samples(sequences));
}

}  // namespace megalith::app
