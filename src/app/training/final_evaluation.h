// What a finished run is worth: bits per byte of all held-out text beside honest baselines, and samples.
#pragma once

#include <string>
#include <vector>

#include "app/baselines.h"
#include "app/sample_checks.h"
#include "app/training/data_sources.h"
#include "app/training/samples.h"
#include "run/run_directory.h"
#include "train/trainer.h"

namespace megalith::app {

struct HeldOutFigure {
  double bits_per_byte = 0;
  double loss_nats_per_token = 0;
  std::int64_t bytes = 0;
  std::int64_t tokens = 0;
};

// Every held-out token is predicted once. Windows of the training length move by half a window, so that all
// but a document's first tokens have at least half a window before them; the first token of each document,
// which nothing predicts, is charged log2 V. The end-of-document tokens are neither bytes nor charged.
HeldOutFigure evaluate_held_out(const TrainConfig& config, Trainer& trainer, const TokenSet& tokens,
                                const Tokenizer& tokenizer);

struct FinalEvaluation {
  HeldOutFigure figure;
  std::vector<Baseline> baselines;
  std::vector<TrainingSample> samples;
  SampleChecks checks;
};

// Figure, baselines, samples and their checks; written to evaluation.json and samples/. Needs token
// files and a tokenizer.
FinalEvaluation evaluate_finally(const TrainConfig& config, Trainer& trainer, const DataSources& data,
                                 const RunDirectory& run);

// What the other ranks do meanwhile: they compute the same and keep nothing.
void follow_final_evaluation(const TrainConfig& config, Trainer& trainer, const DataSources& data);

// The table and samples as text for a terminal.
std::string describe(const FinalEvaluation& evaluation);

}  // namespace megalith::app
