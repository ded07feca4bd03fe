#include "app/loaded_model.h"

#include <cstdlib>
#include <utility>

#include "app/console.h"
#include "core/thread_pool.h"
#include "device/cpu/cpu_device.h"
#include "model/huggingface_weights.h"

namespace megalith::app {

LoadedModel::LoadedModel(TrainConfig config_, std::unique_ptr<Device> device_)
    : config(std::move(config_)),
      device(std::move(device_)),
      parameters(Transformer::specs(config.model, config.numerics), config.numerics.compute,
                 Parameters::Use::inference),
      transformer(config.model, config.numerics, parameters) {}

Expected<std::unique_ptr<Device>> open_device(std::int64_t threads) {
  const Expected<cpu::Isa> isa =
      cpu::choose_isa(std::getenv("MEGALITH_ISA"));  // NOLINT(concurrency-mt-unsafe)
  if (!isa) return tl::unexpected(isa.error());
  return cpu::make_device(threads > 0 ? static_cast<int>(threads) : usable_processors(), *isa);
}

namespace {

// Text in and out, where the folder has a tokenizer that this program honours; else ids.
std::optional<Tokenizer> tokenizer_beside(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name, ignored); };
  if (!has("tokenizer.json") && !has("vocab.json")) return std::nullopt;
  Expected<Tokenizer> tokenizer = Tokenizer::load(folder);
  if (tokenizer) return std::move(*tokenizer);
  complain("token ids only, as the tokenizer cannot be honoured: " + to_string(tokenizer.error()));
  return std::nullopt;
}

Expected<std::unique_ptr<LoadedModel>> load_huggingface(const std::filesystem::path& folder,
                                                        std::int64_t threads) {
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
  stored->load(model->parameters, model->device->num_threads());
  model->parameters.refresh_working(*model->device);
  model->tokenizer = tokenizer_beside(folder);
  return model;
}

// On all threads: much of the time the kernel clears pages.
Expected<void> load_masters(const Checkpoint& checkpoint, const LoadedModel& model) {
  const std::vector<Parameter>& all = model.parameters.all();
  std::vector<Expected<void>> loaded(all.size());
  ThreadPool pool(model.device->num_threads());
  pool.for_each(static_cast<std::int64_t>(all.size()), [&](std::int64_t task, int) {
    const Parameter& p = all[static_cast<std::size_t>(task)];
    loaded[static_cast<std::size_t>(task)] =
        checkpoint.load("model." + p.spec.name, p.master.row_slice(0, p.spec.rows));
  });
  for (Expected<void>& result : loaded) {
    if (!result) return std::move(result);
  }
  return {};
}

}  // namespace

Expected<std::unique_ptr<LoadedModel>> load_model(const std::string& argument, std::int64_t threads) {
  if (is_huggingface_folder(argument)) return load_huggingface(argument, threads);
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
  if (Expected<void> loaded = load_masters(checkpoint, *model); !loaded)
    return tl::unexpected(loaded.error());
  model->parameters.refresh_working(*model->device);
  if (Expected<std::string_view> text = checkpoint.file_text("tokenizer.json")) {
    Expected<Tokenizer> tokenizer =
        Tokenizer::parse_json(*text, (checkpoint.folder() / "tokenizer.json").string());
    if (!tokenizer) return tl::unexpected(tokenizer.error());
    model->tokenizer = std::move(*tokenizer);
  }
  return model;
}

}  // namespace megalith::app
