// Trainers over ranks that take turns with whatever rank 0 times: it leads, the others follow.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "comm/exchange.h"
#include "open_device.h"
#include "operation_times.h"
#include "train/layout_rules.h"
#include "train/trainer.h"

namespace megalith::bench {

// One rank's trainer, with what it says seen.
struct TrainingRank {
  // parallel.data is given; `world` has the ranks of that layout.
  TrainingRank(const TrainConfig& config, const Dataset& data, Communicator& world, int threads)
      : seen(observe(world, times)),
        mesh(layout_of(config.parallel), *seen),
        device(open_device(threads)),
        trainer(config, *device, data, mesh) {}
  // The seconds it takes.
  double step() {
    const double begin = seconds_now();
    trainer.run_step(next++);
    const double took = seconds_now() - begin;
    seconds += took;
    return took;
  }
  OperationTimes times;
  std::unique_ptr<Communicator> seen;
  Mesh mesh;
  std::unique_ptr<Device> device;
  Trainer trainer;
  std::int64_t next = 0;
  double seconds = 0;
};

class Turns {
 public:
  Turns(Communicator& world, std::vector<std::unique_ptr<TrainingRank>> trainers)
      : world_(world), trainers_(std::move(trainers)) {}

  // On every rank but 0, until it says leave().
  void follow() {
    for (std::int64_t said = 0; (said = number_from(world_, 0)) != kLeave;) {
      if (said >= 0) {
        together_on(static_cast<std::size_t>(said));
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(kSleep - said));
      }
    }
  }
  // On rank 0: the seconds of a step that all ranks begin at once.
  double step(std::size_t trainer) {
    number_from(world_, static_cast<std::int64_t>(trainer));
    return together_on(trainer);
  }
  // Rank 0 works alone; the seconds. Ranks that are processes wait for it in a loop that takes a processor
  // each, so they sleep for most of what it took the last time.
  double alone(const std::function<void()>& work) {
    number_from(world_, kSleep - static_cast<std::int64_t>(900 * alone_seconds_));
    const double begin = seconds_now();
    work();
    return alone_seconds_ = seconds_now() - begin;
  }
  void leave() { number_from(world_, kLeave); }

  [[nodiscard]] const TrainingRank& mine(std::size_t trainer) const { return *trainers_[trainer]; }

 private:
  static constexpr std::int64_t kLeave = -1, kSleep = -2;  // kSleep and below: milliseconds

  double together_on(std::size_t trainer) {
    union_of(world_, 0);  // a broadcast does not wait for who sleeps
    return trainers_[trainer]->step();
  }

  Communicator& world_;
  std::vector<std::unique_ptr<TrainingRank>> trainers_;
  double alone_seconds_ = 0;
};

}  // namespace megalith::bench
