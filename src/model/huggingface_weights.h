// Weights of a Hugging Face model folder: config.json and safetensors, one file or several.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/parameters.h"
#include "model/huggingface_config.h"
#include "model/huggingface_map.h"
#include "run/safetensors.h"

namespace megalith {

// Whether a folder looks like one: a config.json, and no manifest.json or run.json of ours.
bool is_huggingface_folder(const std::filesystem::path& folder);

// An open folder: files are mapped, nothing is copied before load().
class HuggingFaceModel {
 public:
  // Refuses what parse_huggingface_config refuses; files without the tensors of the shape, with others, or
  // of other sizes; pickles (pytorch_model.bin) by name.
  static Expected<HuggingFaceModel> open(const std::filesystem::path& folder);

  [[nodiscard]] const HuggingFaceConfig& config() const { return config_; }
  // Fills every weight. REQUIRES: parameters of config().model. Some rows at a time, and what was read of the
  // files is given back: little memory beyond the parameters.
  void load(const Parameters& parameters, int num_threads = 1) const;

 private:
  Expected<void> open_files(const std::filesystem::path& folder);
  Expected<void> check(const std::filesystem::path& folder) const;
  [[nodiscard]] std::string prefix() const;

  HuggingFaceConfig config_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, const StoredTensor*, std::less<>> tensors_;
  std::vector<WeightPiece> pieces_;
};

}  // namespace megalith
