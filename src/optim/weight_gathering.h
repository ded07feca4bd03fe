// Working weights of which each data rank rounds its shard: brought together for use.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "core/tensor.h"

namespace megalith {

// A flat range of one unit's working weights.
struct GatheredRange {
  int unit = 0;
  int slot = 0;
  Tensor shard;  // this rank's part
  Tensor whole;
};

class WeightGathering {
 public:
  // nothing: each rank rounds all. kept: the whole stays, and is gathered after each update while the next
  // step begins. slots: it lies in memory that units have in turn, is gathered before each use, and the next
  // unit's while this one is used.
  enum class Keep : std::uint8_t { nothing, kept, slots };

  // `data` and the tensors' memory outlive it. Ranges stand in ascending order of units.
  WeightGathering(Communicator& data, Keep keep, std::vector<GatheredRange> ranges);
  // Waits for what is under way, unless an exception is: then nobody may answer any more.
  ~WeightGathering();
  WeightGathering(const WeightGathering&) = delete;
  WeightGathering& operator=(const WeightGathering&) = delete;

  // The shards are new.
  void updated();
  // As UnitGate's. Units that are not this rank's are nobody's business.
  void before_use(int unit);
  void after_use(int unit);
  // Nothing is under way: the shards may change, and what is kept whole may be read.
  void finish();

 private:
  struct Unit {
    int number = 0;
    int slot = 0;
    std::size_t first_range = 0, end_range = 0;
    bool there = false;  // gathered, or under way
    bool under_way = false;
    int users = 0;
  };
  [[nodiscard]] std::size_t index_of(int number) const;  // units_.size(): no such unit
  void begin(Unit& unit);
  void wait(Unit& unit);
  bool take_slot(const Unit& unit);
  void look_ahead(std::size_t used);

  Communicator& data_;
  Keep keep_;
  std::vector<GatheredRange> ranges_;
  std::vector<Communicator::Request> requests_;  // one per range
  std::vector<Unit> units_;                      // ascending
  std::size_t last_used_ = 0;
  bool forward_ = true;
};

}  // namespace megalith
