// train --profile and --timeline: where the time of a run goes. A device, a data set and an observer, each
// around the one that does the work; without either option none of them exists.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "app/training/profile_table.h"
#include "app/training/timeline.h"
#include "comm/observer.h"
#include "device/profile/operation_log.h"
#include "train/loop.h"

namespace megalith::app {

class RunProfile {
 public:
  // `device` and `train` outlive it. `timeline`: also keep the newest calls one by one.
  RunProfile(Device& device, const Dataset& train, bool timeline);
  ~RunProfile();

  // What the trainer and the loop are to use. `observer` outlives the loop.
  Device& device() { return *device_; }
  const Dataset& train() { return *train_; }
  // What ranks say to each other, as `world` and whatever is split from it are used. `world` outlives it.
  Communicator& watched(Communicator& world);
  LoopObserver& around(LoopObserver& observer);

  // After the loop.
  [[nodiscard]] RankProfile of_rank(const std::string& place) const;
  // REQUIRES, for both: constructed with `timeline`.
  // When the oldest step that is kept began; now where there is none.
  [[nodiscard]] profile::Clock::time_point timeline_start() const;
  // The newest steps, for trace_of().
  [[nodiscard]] std::string timeline_events(const TraceTrack& track) const;

 private:
  class Observer;
  friend class Observer;
  class Waits;
  void section_begins() { mark_ = profile::Clock::now(); }
  void section_ends(Section section, std::int64_t step);

  profile::OperationLog log_;
  profile::SpanRing sections_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Dataset> train_;
  std::unique_ptr<LoopObserver> observer_;
  std::unique_ptr<CommunicationObserver> waits_;
  std::unique_ptr<Communicator> world_;
  profile::Clock::time_point mark_ = profile::Clock::now();
  std::array<profile::Clock::duration, kNumSections> time_{};  // by section
  std::int64_t steps_ = 0;
};

}  // namespace megalith::app
