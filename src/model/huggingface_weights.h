// Weights of a Hugging Face model folder: config.json and safetensors, one file or several.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/weight_source.h"
#include "model/huggingface_config.h"
#include "model/huggingface_map.h"
#include "run/safetensors.h"

namespace megalith {

// Whether a folder looks like one: a config.json, and no manifest.json or run.json of ours.
bool is_huggingface_folder(const std::filesystem::path& folder);

// An open folder: files are mapped, nothing is copied before weights are read.
class HuggingFaceModel final : public WeightSource {
 public:
  // Refuses what parse_huggingface_config refuses; files without the tensors of the shape, with others, or
  // of other sizes; pickles (pytorch_model.bin) by name.
  static Expected<HuggingFaceModel> open(const std::filesystem::path& folder);

  [[nodiscard]] const HuggingFaceConfig& config() const { return config_; }
  // Fills every weight. REQUIRES: parameters of config().model. Some rows at a time, and what was read of the
  // files is given back: little memory beyond the parameters.
  void load(const Parameters& parameters, int num_threads = 1) const;

  // REQUIRES: parameters of config().model, undivided.
  void read_rows(const Parameter& parameter, std::int64_t first, const Tensor& to) const override;
  void rows_done(const Parameter& parameter, std::int64_t first, std::int64_t count) const override;

 private:
  Expected<void> open_files(const std::filesystem::path& folder);
  Expected<void> check(const std::filesystem::path& folder) const;
  [[nodiscard]] std::string prefix() const;

  HuggingFaceConfig config_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, const StoredTensor*, std::less<>> tensors_;
  // Calls use(piece, its stored tensor, begin, end) for what of the parameter's pieces lies in rows
  // [first, first + count): rows [begin, end) of the piece.
  template <class Use>
  void for_pieces(const Parameter& parameter, std::int64_t first, std::int64_t count, Use use) const;

  std::vector<WeightPiece> pieces_;
  std::map<std::string, std::vector<std::size_t>, std::less<>> pieces_of_;  // by parameter
};

}  // namespace megalith
