#include <memory>
#include <string>
#include <utility>

#include "app/build_facts.h"
#include "app/configs_folder.h"
#include "app/doctor/check.h"
#include "app/loaded_model.h"
#include "app/plan/exact_price.h"
#include "device/cpu/isa.h"

namespace megalith::app {
namespace {

constexpr const char* kName = "exact bits";

Check not_measured(std::string found, std::string why) {
  return {
      .name = kName, .state = CheckState::ok, .found = std::move(found), .why = std::move(why), .to_do = ""};
}

// A step as many people take: GPT-2 124M, 4 sequences of 1,024 tokens in bf16.
TrainConfig typical_config() {
  TrainConfig config;
  config.model.layers = 12;
  config.model.hidden = 768;
  config.model.heads = 12;
  config.model.sequence = 1024;
  config.model.vocabulary = 50257;
  config.batch.global = 4;
  config.batch.micro = 4;
  resolve(config);
  return config;
}

}  // namespace

Check grain_check(const ExactPrice& price, const std::string& config_file) {
  std::string prices;
  for (const ExactPrice::OfGrain& grain : price.grains)
    prices +=
        fmt::format("{}{:+.1f}% at {}", prices.empty() ? "" : ", ", 100 * price.of_step(grain), grain.grain);
  const ExactPrice::OfGrain* cheap = price.smallest_cheap();
  const std::string whose =
      config_file.empty() ? "GPT-2 124M, 4 sequences of 1,024 tokens (--config: yours)" : config_file;
  Check check{.name = kName,
              .state = CheckState::ok,
              .found = fmt::format("price of a step by numerics.grain, in tokens: {}", prices),
              .why = cheap == nullptr ? "10% or more at every grain"
                                      : fmt::format("less than 10% from {} on", cheap->grain),
              .to_do = ""};
  check.why += ", by weight gradients of " + whose;
  if (price.chosen_is_cheap()) return check;
  check.state = CheckState::warning;
  check.to_do = cheap == nullptr ? "numerics.mode = \"fast\" for who needs no equal bits in every layout"
                                 : fmt::format("numerics.grain = {}", cheap->grain);
  return check;
}

Check grain_check(const std::filesystem::path& config_file) {
  TrainConfig config = typical_config();
  if (!config_file.empty()) {
    value_or_throw(look_for_shipped_config(config_file));
    config = value_or_throw(load_train_config(config_file, {}, configs_folder(config_file)));
    if (config.numerics.mode == NumericsMode::fast)
      return not_measured("no price", "numerics.mode = \"fast\": each layout has bits for itself");
  }
  const BuildFacts facts = build_facts();
  const Expected<cpu::Isa> isa = cpu::choose_isa();
  if (!isa) return not_measured("price not measured", "no kernels to measure it with");
  if (facts.build_type != "Release" || !facts.sanitizers.empty() || *isa == cpu::Isa::portable)
    return not_measured("price not measured", "a build or kernels as slow as these would tell nothing");
  const std::unique_ptr<Device> device = value_or_throw(open_device(config.threads));
  return grain_check(measure_exact_price(config, *device), config_file.string());
}

}  // namespace megalith::app
