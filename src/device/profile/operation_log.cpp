#include "device/profile/operation_log.h"

#include <algorithm>
#include <functional>

namespace megalith::profile {
namespace {

std::size_t hash_of(const OperationLabel& label) {
  std::size_t hash = std::hash<const void*>{}(label.name) + static_cast<std::size_t>(label.dtype);
  for (const std::int64_t size : label.sizes) {
    hash = (hash ^ (hash >> 29)) * 0x9E3779B97F4A7C15u + static_cast<std::size_t>(size);
  }
  return hash ^ (hash >> 32);
}

}  // namespace

void SpanRing::add(const Span& span) {
  if (spans_.empty()) return;
  spans_[added_ % spans_.size()] = span;
  ++added_;
}

std::vector<Span> SpanRing::in_order() const {
  std::vector<Span> result;
  for (std::size_t i = added_ - std::min(added_, spans_.size()); i < added_; ++i)
    result.push_back(spans_[i % spans_.size()]);
  return result;
}

OperationLog::OperationLog(std::size_t kept_spans) : spans_(kept_spans) {
  totals_.reserve(kMostKinds + 1);
}

OperationTotal& OperationLog::total_of(const OperationLabel& label) {
  std::size_t slot = hash_of(label) % slots_.size();
  while (slots_[slot] != 0) {
    OperationTotal& total = totals_[slots_[slot] - 1u];
    if (total.label == label) return total;
    slot = (slot + 1) % slots_.size();
  }
  if (totals_.size() >= kMostKinds) {
    if (totals_.size() == kMostKinds) totals_.push_back({.label = {.name = "others"}});
    return totals_.back();
  }
  totals_.push_back({.label = label});
  slots_[slot] = static_cast<std::uint16_t>(totals_.size());
  return totals_.back();
}

void OperationLog::record(const OperationLabel& label, const Cost& cost, Clock::time_point begin,
                          Clock::time_point end) {
  spans_.add({.label = label, .begin = begin, .end = end, .cost = cost});
  if (!counting_) return;
  OperationTotal& total = total_of(label);
  ++total.calls;
  total.time += end - begin;
  total.cost.flops += cost.flops;
  total.cost.bytes += cost.bytes;
}

std::vector<OperationTotal> OperationLog::totals() const {
  return totals_;
}

}  // namespace megalith::profile
