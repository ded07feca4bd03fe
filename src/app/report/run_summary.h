// What a report shows of a run, read from the files of its directory. Reading is tolerant: a report must come
// out of a run that was killed, is still going, or was written by a later version. What is missing is left
// out, what cannot be read is named in `notes`, and nothing is read without a bound.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"

namespace megalith::app {

struct Point {
  double x = 0;  // step
  double y = 0;
};
using Points = std::vector<Point>;  // ascending in x, one per x, all finite

struct BaselineFigure {
  std::string name;
  double bits_per_byte = 0;
  std::string note;
};

struct Fact {
  std::string name;
  std::string value;
};

struct Evaluation {
  double bits_per_byte = 0;  // of held-out text, always finite
  std::optional<double> held_out_bytes;
  std::optional<double> held_out_tokens;
  std::optional<double> loss_nats_per_token;
  std::vector<BaselineFigure> baselines;
  std::vector<Fact> sample_checks;  // as they stand in the file
};

struct Sample {
  double step = 0;
  std::string prompt;
  std::string text;
};

struct MemoryFigure {
  std::string name;      // of an arena, or "resident"
  double used = 0;       // bytes; the latest that was written
  double predicted = 0;  // bytes
};

struct RunSummary {
  std::filesystem::path folder;
  std::string name;                                         // of the folder
  Points loss, gradient_norm, learning_rate;                // ledger.jsonl
  Points tokens;                                            // of it; read since step 1
  Points validation_loss, tokens_per_second, mfu, step_ms;  // metrics.jsonl
  Points mfu_palm, joules_per_token;                        // likewise
  std::vector<MemoryFigure> memory;                         // likewise
  std::vector<double> skipped_steps;                        // ledger.jsonl, "skipped": true
  std::vector<Fact> facts;                                  // run.json, flattened
  std::string config;                                       // config.toml
  std::string longer;                                       // twice its length; "" where it is not understood
  bool has_tokenizer = true;                                // likewise
  std::optional<Evaluation> evaluation;                     // evaluation.json
  std::vector<Sample> samples;                              // samples/*.json, ascending by step
  std::vector<std::string> notes;                           // what was left out, and why
};

// Refused: `folder` is not a folder, or has none of the files of a run.
Expected<RunSummary> read_run(const std::filesystem::path& folder);

// The value of a fact of run.json, at its top or among those of the machine; other nested names are joined by
// a point. Empty when absent.
std::string fact(const RunSummary& run, const std::string& name);
std::optional<double> number_fact(const RunSummary& run, const std::string& name);

}  // namespace megalith::app
