// How much a rank said: calls and bytes by kind of operation and communicator, for tests and reports.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/observer.h"

namespace megalith {

struct OperationCount {
  std::int64_t calls = 0;
  std::int64_t bytes = 0;  // of the larger of this rank's buffers
  std::int64_t sent = 0;   // what leaves a rank when nothing is sent twice: the volume of textbooks
  bool operator==(const OperationCount&) const = default;
  OperationCount& operator+=(const OperationCount& other);
};

// Of `bytes` in a group of `size`. Of an all-reduce both halves.
std::int64_t textbook_bytes_sent(OperationKind kind, std::size_t bytes, int size);

class OperationCounts final : public CommunicationObserver {
 public:
  int opened(const Communicator& communicator) override;
  void entered(ObservedOperation& operation) override;

  // All communicators of that name together; `name` is empty for all.
  [[nodiscard]] OperationCount of(const std::string& name, OperationKind kind) const;
  // One line per communicator and kind that was used.
  [[nodiscard]] std::string to_text() const;
  // Everything to zero; the communicators stay.
  void clear();

 private:
  struct Group {
    std::string name;
    int size = 1;
    std::array<OperationCount, kNumOperationKinds> counts;
  };
  std::vector<Group> groups_;
};

}  // namespace megalith
