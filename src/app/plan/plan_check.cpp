#include "app/plan/plan_check.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "app/configs_folder.h"
#include "app/console.h"
#include "app/loaded_model.h"
#include "app/number_range.h"
#include "train/batch_share.h"
#include "train/rank_plan.h"

namespace megalith::app {
namespace {

struct Options {
  std::filesystem::path config_file;
  std::vector<std::string> overrides;
  std::int64_t ranks = 1;
  bool price = false;
  bool json = false;
};

Layout layout_on(ParallelConfig parallel, std::int64_t ranks) {
  parallel.data = ranks / parallel.tensor / parallel.pipeline;
  return layout_of(parallel);
}

// "embedding, layers 0 to 1, head" of a chunk.
std::string contents(std::int64_t first_layer, std::int64_t layers, bool first, bool last) {
  std::string text = first ? "embedding, " : "";
  text += layers == 1 ? fmt::format("layer {}", first_layer)
                      : fmt::format("layers {} to {}", first_layer, first_layer + layers - 1);
  return text + (last ? ", head" : "");
}

std::string describe_stages(const ParallelConfig& parallel, std::int64_t layers) {
  const std::vector<std::int64_t> split = layers_of_chunks(parallel, layers);
  std::vector<std::string> of_stage(static_cast<std::size_t>(parallel.pipeline));
  std::int64_t first = 0;
  for (std::size_t c = 0; c < split.size(); ++c) {
    std::string& text = of_stage[c % of_stage.size()];
    if (!text.empty()) text += "; ";
    text += contents(first, split[c], c == 0, c + 1 == split.size());
    first += split[c];
  }
  std::string text;
  for (std::size_t p = 0; p < of_stage.size(); ++p) text += fmt::format("  stage {}: {}\n", p, of_stage[p]);
  return text;
}

// What the data ranks read of a step: shares differ by one unit at most.
std::string describe_shares(const TrainConfig& config, const Layout& layout, std::int64_t unit) {
  const auto share = [&](std::int64_t sequences) {
    const ShareSizes sizes = share_sizes(sequences, unit, layout.data);
    return sizes.least == sizes.most ? std::to_string(sizes.least)
                                     : fmt::format("{} or {}", sizes.least, sizes.most);
  };
  const std::int64_t micro = sequences_at_once(config, layout);
  std::string text =
      fmt::format("  a step of {} sequences of {} tokens: {} a data rank, {} at a time{}\n",
                  config.batch.global, config.batch.sequence, share(config.batch.global), micro,
                  micro == config.batch.micro
                      ? ""
                      : fmt::format(" (of batch.micro = {} some would stay empty)", config.batch.micro));
  if (config.batch.ramp_start > 0) {
    text += fmt::format("  the first step of the ramp, of {} sequences: {} a data rank\n",
                        config.batch.ramp_start, share(config.batch.ramp_start));
  }
  return text;
}

ExitCode check(const Options& options) {
  value_or_throw(look_for_shipped_config(options.config_file));
  const auto config = value_or_throw(
      load_config_with_keys(options.config_file, options.overrides, configs_folder(options.config_file)));
  LayoutPlan plan = plan_layout(*config, options.ranks);
  if (options.price) {
    const std::unique_ptr<Device> device = value_or_throw(open_device(config->values.threads));
    plan.price = measure_exact_price(config->values, *device);
  }
  print(options.json ? to_json(plan, config->values) + "\n" : describe(plan, config->values));
  if (plan.broken.empty()) return ExitCode::done;
  Refusals refusals;
  for (const LayoutRefusal& broken : plan.broken) refusals.push_back(broken.refusal);
  throw RefusedInput(std::move(refusals));
}

}  // namespace

LayoutPlan plan_layout(const LoadedConfig& config, std::int64_t ranks) {
  return {.ranks = ranks,
          .broken = broken_layout_rules(config.values, ranks, config.registry),
          .unit = sequences_per_unit(config.values),
          .layouts = all_layouts(config.values, ranks),
          .variants = all_variants(config.values, ranks)};
}

std::string refused_by_rule(const LayoutCensus& census) {
  std::string text;
  for (std::size_t r = 0; r < kLayoutRules; ++r) {
    if (census.refused[r] == 0) continue;
    text += fmt::format("  {:>6}  {}\n", census.refused[r], name_of(static_cast<LayoutRule>(r)));
  }
  return text.empty() ? text : "refused by the rule\n" + text;
}

nlohmann::ordered_json json_of(const LayoutCensus& census) {
  using nlohmann::ordered_json;
  ordered_json refused = ordered_json::object();
  for (std::size_t r = 0; r < kLayoutRules; ++r) {
    if (census.refused[r] > 0) refused[name_of(static_cast<LayoutRule>(r))] = census.refused[r];
  }
  return {{"enumerated", census.enumerated}, {"legal", census.legal.size()}, {"refused", refused}};
}

std::string describe(const LayoutPlan& plan, const TrainConfig& config) {
  std::string text;
  if (plan.broken.empty()) {
    const Layout layout = layout_on(config.parallel, plan.ranks);
    text += equation(layout) + "\n" + describe_stages(config.parallel, config.model.layers) +
            describe_shares(config, layout, plan.unit);
    text += "\n";
  }
  const std::string ranks = fmt::format("{} rank{}", plan.ranks, plan.ranks == 1 ? "" : "s");
  text += fmt::format("layouts of {} with the config's other keys: {} enumerated, {} legal\n", ranks,
                      plan.layouts.enumerated, plan.layouts.legal.size());
  if (!plan.layouts.legal.empty()) text += "  tensor  pipeline      data\n";
  for (const ParallelConfig& legal : plan.layouts.legal)
    text += fmt::format("  {:>6}  {:>8}  {:>8}\n", legal.tensor, legal.pipeline, legal.data);
  text += refused_by_rule(plan.layouts);
  text += fmt::format(
      "with every schedule, ZeRO stage, recomputation, and sequence parallelism: {} enumerated, {} "
      "legal\n",
      plan.variants.enumerated, plan.variants.legal.size());
  text += refused_by_rule(plan.variants);
  return plan.price ? text + "\n" + describe(*plan.price) : text;
}

std::string to_json(const LayoutPlan& plan, const TrainConfig& config) {
  using nlohmann::ordered_json;
  ordered_json object = {{"ranks", plan.ranks}, {"legal", plan.broken.empty()}};
  ordered_json broken = ordered_json::array();
  for (const LayoutRefusal& refusal : plan.broken) {
    broken.push_back({{"rule", name_of(refusal.rule)},
                      {"where", refusal.refusal.where},
                      {"found", refusal.refusal.found},
                      {"allowed", refusal.refusal.allowed},
                      {"nearest", refusal.refusal.nearest}});
  }
  object["broken"] = std::move(broken);
  if (plan.broken.empty()) {
    const Layout layout = layout_on(config.parallel, plan.ranks);
    object["layout"] = {{"tensor", layout.tensor}, {"pipeline", layout.pipeline}, {"data", layout.data}};
    object["layers_of_chunks"] = layers_of_chunks(config.parallel, config.model.layers);
  }
  object["layouts"] = json_of(plan.layouts);
  ordered_json list = ordered_json::array();
  for (const ParallelConfig& legal : plan.layouts.legal)
    list.push_back({{"tensor", legal.tensor}, {"pipeline", legal.pipeline}, {"data", legal.data}});
  object["layouts"]["list"] = std::move(list);
  object["variants"] = json_of(plan.variants);
  if (plan.price) object["exact_price"] = json_of(*plan.price);
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

void add_plan_check(CLI::App& plan, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      plan.add_subcommand("check", "Is a config's layout legal on so many ranks, and which others are");
  verb->add_option("CONFIG", options->config_file, "TOML file, such as configs/runs/tiny.toml")->required();
  verb->add_option("--set", options->overrides, "A value over the file's; may be repeated")
      ->type_name("KEY=VALUE");
  verb->add_option("--ranks", options->ranks, "Ranks that share the work")
      ->required()
      ->check(between(1, 1 << 20));
  verb->add_flag("--price", options->price,
                 "Measure, in about a second, what numerics.mode = \"exact\" costs at each grain");
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options, &run] { run = [options] { return check(*options); }; });
}

}  // namespace megalith::app
