// The data a training config names, opened.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "data/dataset.h"
#include "data/token_set.h"
#include "data/tokenizer/tokenizer.h"
#include "train/loop.h"
#include "train/train_config.h"

namespace megalith::app {

struct DataSources {
  std::unique_ptr<Dataset> train;
  std::int64_t epoch_samples = 0;     // what one of schedule.epochs is; 0: the synthetic language has none
  std::unique_ptr<Dataset> held_out;  // null when there is none
  std::vector<std::unique_ptr<Dataset>> more_held_out;  // of data.more_held_out, in its order; then middles
  std::vector<HeldOutSet> held_out_sets;                // all of these, named
  // Of data.source or of each source of data.blend; none for the synthetic language.
  std::vector<std::shared_ptr<const TokenSet>> train_tokens;
  std::shared_ptr<const TokenSet> held_out_tokens;
  std::optional<Tokenizer> tokenizer;
};

// All problems at once: missing or damaged files, ids that the model's vocabulary does not have.
Expected<DataSources> open_data(const TrainConfig& config);

}  // namespace megalith::app
