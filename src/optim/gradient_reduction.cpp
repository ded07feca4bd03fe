#include "optim/gradient_reduction.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace megalith {

GradientReduction::GradientReduction(Communicator& data, Keep keep, std::vector<ReducedRange> ranges,
                                     FloatSums* floats)
    : data_(data), keep_(keep), ranges_(std::move(ranges)), floats_(floats), requests_(ranges_.size()) {
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
  for (Unit& unit : units_) {
    unit.micro_batches = 0;
    unit.step_added = false;
  }
  std::fill(slot_units_.begin(), slot_units_.end(), -1);
  for (const ReducedRange& range : ranges_)
    device.optimizer().zero(keep_ == Keep::slots ? range.reduced : range.gradient);
}

void GradientReduction::begin(Unit& unit) {
  for (std::size_t i = unit.first_range; i < unit.end_range; ++i) {
    const ReducedRange& range = ranges_[i];
    if (range.gradient.dtype == DType::f32) {
      begin_floats(range);
      continue;
    }
    requests_[i] = keep_ == Keep::whole
                       ? data_.all_reduce(range.gradient.values<std::int64_t>(), IntegerReduction::sum)
                       : data_.reduce_scatter(range.gradient.values<std::int64_t>(),
                                              range.reduced.values<std::int64_t>());
  }
  unit.pending = false;
  unit.under_way = true;
}

void GradientReduction::begin_floats(const ReducedRange& range) {
  MEGALITH_CHECK(floats_ != nullptr, "nobody sums {}", describe(range.gradient));
  if (keep_ == Keep::whole) {
    floats_->to_all(range.gradient);
  } else {
    floats_->to_shards(range.gradient, range.reduced);
  }
}

void GradientReduction::wait(Unit& unit) {
  if (!unit.under_way) return;
  for (std::size_t i = unit.first_range; i < unit.end_range; ++i) {
    if (ranges_[i].gradient.dtype == DType::f32) {
      floats_->finish();
    } else {
      data_.wait(requests_[i]);
    }
  }
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
    const std::size_t offset = static_cast<std::size_t>(range.shard_begin) * size_of(range.gradient.dtype);
    std::memcpy(static_cast<std::byte*>(range.gradient.data) + offset, range.reduced.data,
                range.reduced.size_in_bytes());
  }
}

void GradientReduction::before_gradients(Device& device, int number) {
  if (keep_ != Keep::slots) return;
  if (Unit* wanted = find(number); wanted != nullptr && !wanted->pending) take_slot(device, *wanted);
}

void GradientReduction::gradients_added(int number, bool last) {
  Unit* done = find(number);
  if (!last || done == nullptr) return;
  MEGALITH_CHECK(!done->step_added, "unit {} is added to after its last micro batch", number);
  ++done->micro_batches;
  if (keep_ == Keep::slots) {
    if (done->pending) begin(*done);
  } else {
    begin_complete();
  }
}

void GradientReduction::step_added(int number) {
  Unit* done = find(number);
  if (done == nullptr) return;
  MEGALITH_CHECK(!done->step_added && done->micro_batches == micro_batches_,
                 "unit {} is complete {} with {} of {} micro batches", number,
                 done->step_added ? "once more" : "too early", done->micro_batches, micro_batches_);
  done->step_added = true;
  if (keep_ != Keep::slots) begin_complete();  // without micro batches nothing began it
}

// From the last unit on, as backward goes: the one order that all ranks have, however many micro batches each
// has.
void GradientReduction::begin_complete() {
  while (data_.size() > 1 && begun_ < units_.size()) {
    Unit& next = units_[units_.size() - 1 - begun_];
    if (next.micro_batches < micro_batches_) return;
    begin(next);
    ++begun_;
  }
}

void GradientReduction::finish() {
  for (Unit& unit : units_) {
    MEGALITH_CHECK(unit.step_added && !unit.pending, "unit {} waits for more gradients", unit.number);
    wait(unit);
  }
}

}  // namespace megalith
