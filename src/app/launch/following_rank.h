// What all ranks but the first have instead of Progress: they take part where a rank alone cannot compute,
// and say nothing.
#pragma once

#include "app/training/data_sources.h"
#include "app/training/step_norms.h"
#include "train/loop.h"

namespace megalith::app {

class FollowingRank final : public LoopObserver {
 public:
  FollowingRank(const TrainConfig& config, Trainer& trainer, const DataSources& data);

  void step_begins(std::int64_t step) override;
  void step_done(const LedgerLine& line) override;
  void sample_due(std::int64_t step) override;
  bool stop_requested() override;

 private:
  const TrainConfig& config_;
  Trainer& trainer_;
  const DataSources& data_;
  StepNorms norms_;
};

}  // namespace megalith::app
