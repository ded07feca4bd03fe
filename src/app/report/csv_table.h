// Everything a run measured as one table, for spreadsheets and data frames.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "run/ledger.h"
#include "run/metrics_log.h"

namespace megalith::app {

// One row per step, ascending (RFC 4180, lines end with a line feed). Columns: step, the ledger's loss,
// gradient_norm, learning_rate, tokens, loss_tokens and skipped (0 or 1), then every name of metrics.jsonl in
// the order of the alphabet. Numbers have the digits that give the same double back; a cell is empty where
// nothing was measured or the value was not finite. Of several values of one name and step the last one
// stands.
std::string csv_table(const std::vector<LedgerLine>& ledger, const std::vector<MetricsLine>& metrics);

// Of a run directory. Refuses what is none, and damaged files with the line.
Expected<std::string> csv_of_run(const std::filesystem::path& folder);

}  // namespace megalith::app
