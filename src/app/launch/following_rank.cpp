#include "app/launch/following_rank.h"

#include "app/interrupt.h"
#include "app/training/samples.h"

namespace megalith::app {

FollowingRank::FollowingRank(const TrainConfig& config, Trainer& trainer, const DataSources& data)
    : config_(config), trainer_(trainer), data_(data), norms_(config, trainer) {}

void FollowingRank::step_begins(std::int64_t step) {
  norms_.begin(step);
}

void FollowingRank::step_done(const LedgerLine& line) {
  static_cast<void>(norms_.end(line));
}

void FollowingRank::sample_due(std::int64_t step) {
  draw_sample(config_, trainer_, data_, step);
}

bool FollowingRank::stop_requested() {
  return interrupted();
}

}  // namespace megalith::app
