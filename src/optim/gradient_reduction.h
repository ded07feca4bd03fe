// Sums of gradients over data ranks: all of them for each rank, or under ZeRO to each rank its shard.
//
// Integers, so any order gives the same bits; sums in f32 have the order of optim/float_sums.h. A unit's sum
// begins as soon as its last contribution is in and runs beside the rest of the backward pass; finish() waits
// for what is left.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "device/device.h"
#include "optim/float_sums.h"

namespace megalith {

// A flat range of one unit's gradients.
struct ReducedRange {
  int unit = 0;
  int slot = 0;
  Tensor gradient;  // i64 or f32, what the rank adds to
  Tensor reduced;   // as gradient, the sum: all of it or this rank's shard
  std::int64_t shard_begin = 0;
};

class GradientReduction {
 public:
  // How a rank's own sums are kept. whole: all of them, each rank. shards: the rank adds to all, and is given
  // its shard of the sum at the step's end. slots: it adds to memory that units have in turn, which is summed
  // into the shards after each micro batch.
  enum class Keep : std::uint8_t { whole, shards, slots };

  // `data`, `floats` and the tensors' memory outlive it. Ranges stand in ascending order of units. floats:
  // what sums those in f32; null where there are none.
  GradientReduction(Communicator& data, Keep keep, std::vector<ReducedRange> ranges,
                    FloatSums* floats = nullptr);

  // Nothing was added yet. With slots every rank has as many micro batches; else each says its own number.
  void begin_step(Device& device, std::int64_t micro_batches);
  // As UnitGate's. Units that are not this rank's are nobody's business.
  void before_gradients(Device& device, int unit);
  void gradients_added(int unit, bool last);
  // Once per step and unit.
  void step_added(int unit);
  // All sums are there.
  void finish();

 private:
  struct Unit {
    int number = 0;
    std::size_t first_range = 0, end_range = 0;
    std::int64_t micro_batches = 0;  // whose contributions are in
    bool pending = false;            // contributions that no sum has
    bool under_way = false;
    bool step_added = false;
  };
  [[nodiscard]] Unit* find(int number);  // null: no such unit
  void begin(Unit& unit);
  void begin_floats(const ReducedRange& range);
  void wait(Unit& unit);
  void begin_complete();
  void take_slot(Device& device, Unit& unit);

  Communicator& data_;
  Keep keep_;
  std::vector<ReducedRange> ranges_;
  FloatSums* floats_;
  std::vector<Communicator::Request> requests_;  // one per range
  std::vector<Unit> units_;                      // ascending
  std::vector<int> slot_units_;                  // which unit has each slot; -1: none
  std::int64_t micro_batches_ = 0;
  std::size_t begun_ = 0;  // units whose sum began this step, counted from the last
};

}  // namespace megalith
