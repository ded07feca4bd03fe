// Weights that a fresh run begins with instead of random ones: train.init.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/error.h"
#include "layers/parameters.h"
#include "model/huggingface_weights.h"
#include "run/model_location.h"
#include "train/train_config.h"

namespace megalith {

// Opened, not read yet: a run (its newest good checkpoint), RUN@STEP, a checkpoint folder, or a Hugging Face
// folder.
class InitialWeights {
 public:
  static Expected<InitialWeights> open(const std::string& path);

  // Its shape, resolved. What only training uses (dropout, how fresh weights begin) is the default.
  [[nodiscard]] const ModelConfig& model() const { return model_; }
  // A tokenizer.json beside the weights; empty when there is none.
  [[nodiscard]] std::filesystem::path tokenizer() const;
  // Fills every master weight. REQUIRES: parameters of model().
  [[nodiscard]] Expected<void> load(const Parameters& parameters) const;

 private:
  ModelConfig model_;
  std::filesystem::path folder_;
  std::optional<HuggingFaceModel> huggingface_;
  std::optional<Checkpoint> checkpoint_;
};

// Gives the model.* keys that the config leaves open the values of the weights, and data.tokenizer the one
// beside them. Refuses keys that were given and differ.
Expected<void> adopt(const InitialWeights& weights, LoadedConfig& config);

}  // namespace megalith
