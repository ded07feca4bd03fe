// train --profile and --timeline: where the time of a run goes. A device, a data set and an observer, each
// around the one that does the work; without either option none of them exists.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "device/profile/operation_log.h"
#include "device/profile/roofline.h"
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
  LoopObserver& around(LoopObserver& observer);

  // After the loop. Measures the ceilings, which takes a second.
  [[nodiscard]] std::string table();
  [[nodiscard]] std::string json();  // one line: {"profile": {...}}
  // The newest steps in the trace event format, which ui.perfetto.dev and chrome://tracing open. REQUIRES:
  // constructed with `timeline`.
  [[nodiscard]] std::string timeline_json() const;

  // What a run does, one after the other.
  enum class Section : std::uint8_t { step, validation, sample, checkpoint, other };

 private:
  class Observer;
  friend class Observer;
  void section_begins() { mark_ = profile::Clock::now(); }
  void section_ends(Section section, std::int64_t step);

  Device& inner_;
  profile::OperationLog log_;
  profile::SpanRing sections_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Dataset> train_;
  std::unique_ptr<LoopObserver> observer_;
  profile::Clock::time_point mark_ = profile::Clock::now();
  std::array<profile::Clock::duration, 5> time_{};  // by section
  std::int64_t steps_ = 0;
};

}  // namespace megalith::app
