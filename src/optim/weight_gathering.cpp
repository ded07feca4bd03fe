#include "optim/weight_gathering.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/error.h"

namespace megalith {

WeightGathering::WeightGathering(Communicator& data, Keep keep, std::vector<GatheredRange> ranges)
    : data_(data),
      keep_(data.size() == 1 ? Keep::nothing : keep),
      ranges_(std::move(ranges)),
      requests_(ranges_.size()) {
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    if (units_.empty() || units_.back().number != ranges_[i].unit)
      units_.push_back({.number = ranges_[i].unit, .slot = ranges_[i].slot, .first_range = i});
    units_.back().end_range = i + 1;
  }
}

WeightGathering::~WeightGathering() {
  if (std::uncaught_exceptions() > 0) return;
  try {
    finish();
  } catch (const PeerFailed&) {  // whoever waits next will say so
    return;
  }
}

std::size_t WeightGathering::index_of(int number) const {
  const auto found = std::lower_bound(units_.begin(), units_.end(), number,
                                      [](const Unit& unit, int wanted) { return unit.number < wanted; });
  const bool known = found != units_.end() && found->number == number;
  return known ? static_cast<std::size_t>(found - units_.begin()) : units_.size();
}

void WeightGathering::begin(Unit& unit) {
  for (std::size_t i = unit.first_range; i < unit.end_range; ++i)
    requests_[i] = data_.all_gather(ranges_[i].shard.bytes(), ranges_[i].whole.bytes());
  unit.there = unit.under_way = true;
}

void WeightGathering::wait(Unit& unit) {
  if (!unit.under_way) return;
  for (std::size_t i = unit.first_range; i < unit.end_range; ++i) data_.wait(requests_[i]);
  unit.under_way = false;
}

void WeightGathering::updated() {
  finish();
  for (Unit& unit : units_) {
    if (keep_ == Keep::kept) begin(unit);
    if (keep_ == Keep::slots) unit.there = false;
  }
}

// False: somebody uses what is in it.
bool WeightGathering::take_slot(const Unit& unit) {
  for (Unit& other : units_) {
    if (other.slot != unit.slot || !other.there || &other == &unit) continue;
    if (other.users > 0) return false;
    wait(other);
    other.there = false;
  }
  return true;
}

// In the order of the units, as forward and backward go; at either end it turns.
void WeightGathering::look_ahead(std::size_t used) {
  if (used != last_used_) forward_ = used > last_used_;
  last_used_ = used;
  if (used == 0) forward_ = true;
  if (used + 1 == units_.size()) forward_ = false;
  if (units_.size() == 1) return;
  Unit& next = units_[forward_ ? used + 1 : used - 1];
  if (!next.there && take_slot(next)) begin(next);
}

void WeightGathering::before_use(int number) {
  const std::size_t index = index_of(number);
  if (keep_ == Keep::nothing || index == units_.size()) return;
  Unit& unit = units_[index];
  if (keep_ == Keep::slots && !unit.there) {
    MEGALITH_CHECK(take_slot(unit), "the memory of unit {} is in use", number);
    begin(unit);
  }
  wait(unit);
  ++unit.users;
  if (keep_ == Keep::slots) look_ahead(index);
}

void WeightGathering::after_use(int number) {
  const std::size_t index = index_of(number);
  if (keep_ == Keep::nothing || index == units_.size()) return;
  MEGALITH_CHECK(units_[index].users > 0, "unit {} was not used", number);
  --units_[index].users;
}

void WeightGathering::finish() {
  for (Unit& unit : units_) wait(unit);
}

}  // namespace megalith
