// Any text is a ledger or is refused; what is accepted is written and read again as the same lines.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "run/ledger.h"
#include "run/metrics_log.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto metrics = megalith::parse_metrics(text, "fuzz");
  const auto ledger = megalith::parse_ledger(text, "fuzz");
  if (!ledger) return 0;
  for (const megalith::LedgerLine& line : ledger->lines) {
    const auto again = megalith::parse_ledger_line(to_text(line), "fuzz");
    MEGALITH_CHECK(again && !first_difference(line, *again), "step {}", line.step);
  }
  return 0;
}
