#include "app/report/csv_table.h"

#include <cmath>
#include <map>
#include <set>

namespace megalith::app {
namespace {

constexpr const char* kLedgerColumns = "step,loss,gradient_norm,learning_rate,tokens,loss_tokens,skipped";
constexpr const char* kNoLedger = ",,,,,,";

std::string cell(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "";
}

// A name of a held-out set may hold anything that a file name may.
std::string quoted(std::string_view name) {
  if (name.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(name);
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

std::string cells(const LedgerLine& line) {
  return fmt::format(",{},{},{},{},{},{}", cell(line.loss), cell(line.gradient_norm),
                     cell(line.learning_rate), line.tokens, line.loss_tokens, line.skipped ? 1 : 0);
}

}  // namespace

std::string csv_table(const std::vector<LedgerLine>& ledger, const std::vector<MetricsLine>& metrics) {
  struct Row {
    const LedgerLine* ledger = nullptr;
    std::map<std::string_view, double> values;
  };
  std::map<std::int64_t, Row> rows;
  std::set<std::string_view> names;
  for (const LedgerLine& line : ledger) rows[line.step].ledger = &line;
  for (const MetricsLine& line : metrics) {
    for (const auto& [name, value] : line.values) {
      names.insert(name);
      rows[line.step].values[name] = value;
    }
  }
  std::string text = kLedgerColumns;
  for (const std::string_view name : names) text += "," + quoted(name);
  text += "\n";
  for (const auto& [step, row] : rows) {
    text += std::to_string(step) + (row.ledger == nullptr ? kNoLedger : cells(*row.ledger));
    for (const std::string_view name : names) {
      const auto found = row.values.find(name);
      text += "," + (found == row.values.end() ? "" : cell(found->second));
    }
    text += "\n";
  }
  return text;
}

Expected<std::string> csv_of_run(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder / "ledger.jsonl", ignored)) {
    return refuse({.where = folder.string(),
                   .found = "no ledger.jsonl in it",
                   .allowed = "a run directory: what was given to megalith train --run-dir",
                   .nearest = "ls runs/"});
  }
  const Expected<LedgerText> ledger = read_ledger(folder / "ledger.jsonl");
  if (!ledger) return tl::unexpected(ledger.error());
  const Expected<std::vector<MetricsLine>> metrics = read_metrics(folder / "metrics.jsonl");
  if (!metrics) return tl::unexpected(metrics.error());
  return csv_table(ledger->lines, *metrics);
}

}  // namespace megalith::app
