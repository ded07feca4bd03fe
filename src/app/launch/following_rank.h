// What all ranks but the first have instead of Progress: they take part where a rank alone cannot compute,
// and say nothing.
#pragma once

#include <optional>

#include "app/training/data_sources.h"
#include "train/loop.h"
#include "train/norm_meter.h"

namespace megalith::app {

class FollowingRank final : public LoopObserver {
 public:
  FollowingRank(const TrainConfig& config, Trainer& trainer, const DataSources& data);

  void step_begins(std::int64_t step) override;
  void step_done(const LedgerLine& line) override;
  void sample_due(std::int64_t step) override;
  bool stop_requested() override;

 private:
  [[nodiscard]] bool norms_due(std::int64_t step) const;

  const TrainConfig& config_;
  Trainer& trainer_;
  const DataSources& data_;
  std::optional<NormMeter> norms_;  // with metrics.norms_every
};

}  // namespace megalith::app
