#include "train/initial_weights.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "model/stored_parameters.h"

namespace megalith {
namespace {

// Keys that say how a model is trained and not what it is.
constexpr std::array<std::string_view, 5> kOfTraining = {
    "model.preset", "model.dropout", "model.attention_dropout", "model.init", "model.init_std"};

void keep_training_keys(const ModelConfig& from, ModelConfig& to) {
  to.preset = from.preset;
  to.dropout = from.dropout;
  to.attention_dropout = from.attention_dropout;
  to.init = from.init;
  to.init_std = from.init_std;
}

}  // namespace

Expected<InitialWeights> InitialWeights::open(const std::string& path) {
  InitialWeights weights;
  if (is_huggingface_folder(path)) {
    Expected<HuggingFaceModel> stored = HuggingFaceModel::open(path);
    if (!stored) return tl::unexpected(std::move(stored).error());
    weights.model_ = stored->config().model;
    weights.folder_ = path;
    weights.huggingface_ = std::move(*stored);
    return weights;
  }
  Expected<ModelLocation> location = resolve_model(path);
  if (!location) return tl::unexpected(std::move(location).error());
  LoadedConfig frozen;
  const std::string name = (location->checkpoint.folder() / "manifest.json").string() + " config";
  if (Expected<void> read = parse_toml(location->checkpoint.facts().config, name, frozen.registry); !read)
    return tl::unexpected(std::move(read).error());
  resolve(frozen.values);
  weights.model_ = frozen.values.model;
  keep_training_keys(ModelConfig{}, weights.model_);
  weights.folder_ = location->checkpoint.folder();
  weights.checkpoint_ = std::move(location->checkpoint);
  return weights;
}

std::filesystem::path InitialWeights::tokenizer() const {
  const std::filesystem::path path = folder_ / "tokenizer.json";
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? path : std::filesystem::path{};
}

Expected<void> InitialWeights::load(const Parameters& parameters) const {
  if (huggingface_) {
    huggingface_->load(parameters);
    return {};
  }
  for (const Parameter& p : parameters.all()) {
    if (Expected<void> loaded = load_pieces(*checkpoint_, "model." + p.spec.name, p, p.master); !loaded)
      return loaded;
  }
  return {};
}

Expected<void> adopt(const InitialWeights& weights, LoadedConfig& config) {
  ModelConfig stored = weights.model();
  Registry stored_keys;
  declare_model_keys(stored_keys, stored);
  Refusals refusals;
  for (const Key& wanted : config.registry.keys()) {
    if (!wanted.name.starts_with("model.") || wanted.origin.empty() || wanted.show() == "0") continue;
    if (std::find(kOfTraining.begin(), kOfTraining.end(), wanted.name) != kOfTraining.end()) continue;
    const std::string there = stored_keys.at(wanted.name).show();
    if (wanted.show() == there) continue;
    refusals.push_back({.where = config.registry.where(wanted.name),
                        .found = wanted.show(),
                        .allowed = fmt::format("{}, as the weights of train.init have", there),
                        .nearest = "leave the key out"});
  }
  if (!refusals.empty()) return refuse(std::move(refusals));
  keep_training_keys(config.values.model, stored);
  config.values.model = stored;
  if (config.values.data.tokenizer.empty()) config.values.data.tokenizer = weights.tokenizer().string();
  return {};
}

}  // namespace megalith
