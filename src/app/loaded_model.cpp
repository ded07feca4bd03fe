#include "app/loaded_model.h"

#include <cstdlib>

#include "app/console.h"
#include "device/cpu/cpu_device.h"

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

std::filesystem::path configs_folder() {
  if (const char* named = std::getenv("MEGALITH_CONFIGS")) return named;  // NOLINT(concurrency-mt-unsafe)
  std::error_code error;
  if (std::filesystem::is_directory("configs", error)) return "configs";
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path prefix = program.parent_path().parent_path();
  for (const std::filesystem::path& candidate :
       {prefix.parent_path() / "configs", prefix / "share/megalith/configs"}) {
    if (std::filesystem::is_directory(candidate, error)) return candidate;
  }
  return "configs";
}

Expected<std::unique_ptr<LoadedModel>> load_model(const std::string& argument, std::int64_t threads) {
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
  for (const Parameter& p : model->parameters.all()) {
    Expected<void> loaded = checkpoint.load("model." + p.spec.name, p.master.row_slice(0, p.spec.rows));
    if (!loaded) return tl::unexpected(loaded.error());
  }
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
