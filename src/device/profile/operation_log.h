// What operations took, as their callers saw it: totals per operation and shape, and the newest calls one by
// one. All memory is taken at construction; nothing here allocates while operations run.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "core/tensor.h"
#include "device/cost.h"

namespace megalith::profile {

using Clock = std::chrono::steady_clock;

// Operations of one name, dtype and sizes are counted together.
struct OperationLabel {
  const char* name = "";                // "product forward"; lives as long as the program
  DType dtype = DType::f32;             // of the operands
  DType arithmetic = DType::f32;        // whose peak is the ceiling: bf16 where products are taken in pairs
  std::array<std::int64_t, 4> sizes{};  // as the operation's struct names them; 0: unused
  bool operator==(const OperationLabel&) const = default;
};

struct OperationTotal {
  OperationLabel label;
  std::int64_t calls = 0;
  Clock::duration time{};
  Cost cost;
};

// One call, or a stretch of time that holds calls.
struct Span {
  OperationLabel label;
  Clock::time_point begin, end;
  Cost cost;
};

// The newest spans, up to a number fixed at construction.
class SpanRing {
 public:
  explicit SpanRing(std::size_t capacity) : spans_(capacity) {}
  void add(const Span& span);
  // Oldest first.
  [[nodiscard]] std::vector<Span> in_order() const;

 private:
  std::vector<Span> spans_;
  std::size_t added_ = 0;
};

// Used by one thread, the owner of the device.
class OperationLog {
 public:
  // `kept_spans`: how many of the newest calls can be asked for; 0: totals only.
  explicit OperationLog(std::size_t kept_spans);

  // Totals are made of what is recorded while counting; spans of everything.
  void count(bool counting) { counting_ = counting; }
  void record(const OperationLabel& label, const Cost& cost, Clock::time_point begin, Clock::time_point end);

  // In the order in which they first occurred. Where there are more kinds than kMostKinds, the rest is one
  // entry called "others".
  [[nodiscard]] std::vector<OperationTotal> totals() const;
  [[nodiscard]] std::vector<Span> spans() const { return spans_.in_order(); }

  static constexpr std::size_t kMostKinds = 512;

 private:
  OperationTotal& total_of(const OperationLabel& label);

  std::vector<OperationTotal> totals_;
  std::array<std::uint16_t, 4 * kMostKinds> slots_{};  // open addressing: 1 + place in totals_, 0: free
  SpanRing spans_;
  bool counting_ = true;
};

}  // namespace megalith::profile
