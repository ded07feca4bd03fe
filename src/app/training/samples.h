// The samples a training run shows: what they begin with and how they are drawn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/generation.h"
#include "app/training/data_sources.h"
#include "train/trainer.h"

namespace megalith::app {

struct TrainingSample {
  std::string prompt;  // as text; ids apart by spaces without a tokenizer
  std::string text;    // the continuation
};

// Sample `number` of a run, from the trainer's present parameters. It continues sample.prompt or, where that
// is empty, the first words of a held-out document, which the model has never seen; documents take turns by
// number. Temperature 0.7, top-p 0.9; the seed is the run's and the number. Over ranks every rank draws it,
// and all draw the same.
TrainingSample draw_sample(const TrainConfig& config, Trainer& trainer, const DataSources& data,
                           std::int64_t number);

// One JSON object {"step", "prompt", "text"}, as `megalith report` reads it.
std::string to_json(const TrainingSample& sample, std::int64_t step);

}  // namespace megalith::app
