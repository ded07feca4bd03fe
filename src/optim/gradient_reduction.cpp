#include "optim/gradient_reduction.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace megalith {

GradientReduction::GradientReduction(Communicator& data, Keep keep, std::vector<ReducedRange> ranges)
    : data_(data), keep_(keep), ranges_(std::move(ranges)), requests_(ranges_.size()) {
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    if (units_.empty() || units_.back().number != ranges_[i].unit) {
      MEGALITH_CHECK(units_.empty() || units_.back().number < ranges_[i].unit, "unit {}", ranges_[i].unit);
      units_.push_back({.number = ranges_[i].unit, .first_range = i});
    }
    units_.back().end_range = i + 1;
    slot_units_.resize(std::max(slot_units_.size(), static_cast<std::size_t>(ranges_[i].slot) + 1), -1);
  }
}

GradientReduction::Unit* GradientReduction::find(int number) {
  const auto found = std::lower_bound(units_.begin(), units_.end(), number,
                                      [](const Unit& unit, int wanted) { return unit.number < wanted; });
  return found != units_.end() && found->number == number ? &*found : nullptr;
}

void GradientReduction::begin_step(Device& device, std::int64_t micro_batches) {
  micro_batches_ = micro_batches;
  begun_ = 0;
  for (Unit& unit : units_) unit.micro_batches = 0;
  std::fill(slot_units_.begin(), slot_units_.end(), -1);
  for (const ReducedRange& range : ranges_)
    device.optimizer().zero(keep_ == Keep::slots ? range.reduced : range.gradient);
}

void GradientReduction::begin(Unit& unit) {
  for (std::size_t i = unit.first_range; i < unit.end_range; ++i) {
    const ReducedRange& range = ranges_[i];
    requests_[i] = keep_ == Keep::whole
                       ? data_.all_reduce(range.gradient.values<std::int64_t>(), IntegerReduction::sum)
                       : data_.reduce_scatter(range.gradient.values<std::int64_t>(),
                                              range.reduced.values<std::int64_t>());
  }
  unit.pending = false;
  unit.under_way = true;
}

void GradientReduction::wait(Unit& unit) {
  if (!unit.under_way) return;
  for (std::size_t i = unit.first_range; i < unit.end_range; ++i) data_.wait(requests_[i]);
  unit.under_way = false;
}

void GradientReduction::take_slot(Device& device, Unit& unit) {
  const ReducedRange& first = ranges_[unit.first_range];
  int& holder = slot_units_[static_cast<std::size_t>(first.slot)];
  if (holder >= 0) {
    Unit& before = *find(holder);
    if (before.pending) begin(before);
    wait(before);
  }
  holder = unit.number;
  unit.pending = true;
  // What the shard has so far is this rank's contribution to its own part, so the sum goes on from there.
  for (std::size_t i = unit.first_range; i < unit.end_range; ++i) {
    const ReducedRange& range = ranges_[i];
    device.optimizer().zero(range.gradient);
    std::memcpy(range.gradient.as<std::int64_t>() + range.shard_begin, range.reduced.data,
                range.reduced.size_in_bytes());
  }
}

void GradientReduction::before_gradients(Device& device, int number) {
  if (keep_ != Keep::slots) return;
  if (Unit* wanted = find(number); wanted != nullptr && !wanted->pending) take_slot(device, *wanted);
}

void GradientReduction::gradients_added(int number, bool last) {
  if (!last || data_.size() == 1) return;
  Unit* done = find(number);
  if (done == nullptr) return;
  if (keep_ == Keep::slots) {
    if (done->pending) begin(*done);
    return;
  }
  ++done->micro_batches;
  begin_complete();
}

// From the last unit on, as backward goes: the one order that all ranks have, however many micro batches each
// has.
void GradientReduction::begin_complete() {
  while (begun_ < units_.size()) {
    Unit& next = units_[units_.size() - 1 - begun_];
    if (next.micro_batches < micro_batches_) return;
    begin(next);
    ++begun_;
  }
}

void GradientReduction::finish() {
  if (data_.size() == 1) return;
  if (keep_ == Keep::slots) {
    for (auto late = units_.rbegin(); late != units_.rend(); ++late) {
      if (late->pending) begin(*late);
    }
  } else {
    begin_complete();
    MEGALITH_CHECK(begun_ == units_.size(), "{} of {} units have all their gradients", begun_, units_.size());
  }
  for (Unit& unit : units_) wait(unit);
}

}  // namespace megalith
