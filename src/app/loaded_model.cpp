#include "app/loaded_model.h"

#include <cstdlib>
#include <utility>
#include <vector>

#include "app/console.h"
#include "core/thread_pool.h"
#include "device/cpu/cpu_device.h"
#include "model/huggingface_weights.h"
#include "model/stored_parameters.h"

namespace megalith::app {

LoadedModel::LoadedModel(TrainConfig config_, std::unique_ptr<Device> device_)
    : config(std::move(config_)),
      device(std::move(device_)),
      parameters(Transformer::specs(config.model, config.numerics), config.numerics.compute,
                 Parameters::Use::inference),
      transformer(config.model, config.numerics, parameters) {}

Expected<std::unique_ptr<Device>> open_device(std::int64_t threads) {
  const Expected<cpu::Isa> isa = cpu::choose_isa();
  if (!isa) return tl::unexpected(isa.error());
  return cpu::make_device(threads > 0 ? static_cast<int>(threads) : usable_processors(), *isa);
}

namespace {

// Text in and out, where the folder has a tokenizer that this program honours and the model has room for;
// else ids.
std::optional<Tokenizer> tokenizer_beside(const std::filesystem::path& folder, std::int64_t vocabulary) {
  std::error_code ignored;
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name, ignored); };
  if (!has("tokenizer.json") && !has("vocab.json")) return std::nullopt;
  Expected<Tokenizer> tokenizer = Tokenizer::load(folder);
  if (tokenizer && tokenizer->vocabulary_size() > vocabulary) {
    tokenizer = refuse({.where = folder.string(),
                        .found = fmt::format("a tokenizer of {} entries", tokenizer->vocabulary_size()),
                        .allowed = fmt::format("at most the model's {}", vocabulary),
                        .nearest = "the tokenizer that the model was trained with"});
  }
  if (tokenizer) return std::move(*tokenizer);
  complain("token ids only, as the tokenizer cannot be honoured: " + to_string(tokenizer.error()));
  return std::nullopt;
}

Expected<std::unique_ptr<LoadedModel>> load_huggingface(const std::filesystem::path& folder,
                                                        std::int64_t threads, WeightFormat weights) {
  const Expected<HuggingFaceModel> stored = HuggingFaceModel::open(folder);
  if (!stored) return tl::unexpected(stored.error());
  TrainConfig config;
  config.model = stored->config().model;
  config.numerics.compute = stored->config().stored;
  config.numerics.tree = largest_tree(config.model, config.numerics.tree);
  resolve(config);
  Registry registry;
  declare_train_keys(registry, config);
  if (Refusals broken = check_model(config.model, config.numerics.tree, registry); !broken.empty())
    return refuse(std::move(broken));
  Expected<std::unique_ptr<Device>> device = open_device(threads);
  if (!device) return tl::unexpected(device.error());
  auto model = std::make_unique<LoadedModel>(config, std::move(*device));
  model->transformer.load_and_pack(*model->device, config.numerics, weights, *stored, model->parameters);
  model->tokenizer = tokenizer_beside(folder, config.model.vocabulary);
  model->end_ids = stored->config().end_ids;
  if (model->tokenizer) {
    const std::span<const std::int32_t> before = model->tokenizer->ids_before();
    model->prompt_begin.assign(before.begin(), before.end());
  }
  return model;
}

}  // namespace

Expected<std::unique_ptr<LoadedModel>> load_model(const std::string& argument, std::int64_t threads,
                                                  WeightFormat weights) {
  if (is_huggingface_folder(argument)) return load_huggingface(argument, threads, weights);
  Expected<ModelLocation> location = resolve_model(argument);
  if (!location) return tl::unexpected(location.error());
  for (const Refusal& skipped : location->skipped)
    complain("passed over a damaged checkpoint: " + to_string(skipped));
  const Checkpoint& checkpoint = location->checkpoint;

  LoadedConfig frozen;
  const std::string name = (checkpoint.folder() / "manifest.json").string() + " config";
  if (Expected<void> read = parse_toml(checkpoint.facts().config, name, frozen.registry); !read) {
    return tl::unexpected(read.error());
  }
  resolve(frozen.values);
  if (Refusals broken = check_train(frozen.values, frozen.registry); !broken.empty())
    return refuse(std::move(broken));

  Expected<std::unique_ptr<Device>> device = open_device(threads);
  if (!device) return tl::unexpected(device.error());
  auto model = std::make_unique<LoadedModel>(frozen.values, std::move(*device));
  model->step = checkpoint.facts().step;
  const Expected<StoredWeights> stored = StoredWeights::of(checkpoint, model->parameters);
  if (!stored) return tl::unexpected(stored.error());
  model->transformer.load_and_pack(*model->device, model->config.numerics, weights, *stored,
                                   model->parameters);
  if (Expected<std::string_view> text = checkpoint.file_text("tokenizer.json")) {
    Expected<Tokenizer> tokenizer =
        Tokenizer::parse_json(*text, (checkpoint.folder() / "tokenizer.json").string());
    if (!tokenizer) return tl::unexpected(tokenizer.error());
    model->tokenizer = std::move(*tokenizer);
  }
  return model;
}

}  // namespace megalith::app
