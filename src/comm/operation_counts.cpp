#include "comm/operation_counts.h"

#include <set>

#include "core/error.h"

namespace megalith {

OperationCount& OperationCount::operator+=(const OperationCount& other) {
  calls += other.calls;
  bytes += other.bytes;
  sent += other.sent;
  return *this;
}

std::int64_t textbook_bytes_sent(OperationKind kind, std::size_t bytes, int size) {
  const auto all = static_cast<std::int64_t>(bytes);
  switch (kind) {
    case OperationKind::all_gather:
    case OperationKind::all_to_all:
    case OperationKind::reduce_scatter:
      return all / size * (size - 1);
    case OperationKind::all_reduce:
      return 2 * all * (size - 1) / size;
    case OperationKind::broadcast:
      return all * (size - 1) / size;  // each of a chain sends it on, but for the last
    case OperationKind::send:
      return all;
    case OperationKind::receive:
      return 0;
  }
  return 0;
}

int OperationCounts::opened(const Communicator& communicator) {
  groups_.push_back({communicator.name(), communicator.size(), {}});
  return static_cast<int>(groups_.size()) - 1;
}

void OperationCounts::entered(ObservedOperation& operation) {
  Group& group = groups_[static_cast<std::size_t>(operation.communicator)];
  group.counts[static_cast<std::size_t>(operation.kind)] +=
      {1, static_cast<std::int64_t>(operation.bytes),
       textbook_bytes_sent(operation.kind, operation.bytes, group.size)};
}

OperationCount OperationCounts::of(const std::string& name, OperationKind kind) const {
  OperationCount sum;
  for (const Group& group : groups_) {
    if (name.empty() || group.name == name) sum += group.counts[static_cast<std::size_t>(kind)];
  }
  return sum;
}

std::string OperationCounts::to_text() const {
  std::set<std::string> names;
  for (const Group& group : groups_) names.insert(group.name);
  std::string text;
  for (const std::string& name : names) {
    for (int kind = 0; kind < kNumOperationKinds; ++kind) {
      const OperationCount count = of(name, static_cast<OperationKind>(kind));
      if (count.calls == 0) continue;
      text += fmt::format("{:<10} {:<15} {:>8} calls {:>15} bytes {:>15} sent\n", name,
                          name_of(static_cast<OperationKind>(kind)), count.calls, count.bytes, count.sent);
    }
  }
  return text;
}

void OperationCounts::clear() {
  for (Group& group : groups_) group.counts.fill({});
}

}  // namespace megalith
