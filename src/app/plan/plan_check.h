// megalith plan check CONFIG --ranks N: is this layout legal, and which others are?
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "app/plan/exact_price.h"
#include "app/verb.h"
#include "train/layout_census.h"

namespace megalith::app {

// What a config makes of so many ranks.
struct LayoutPlan {
  std::int64_t ranks = 1;
  std::vector<LayoutRefusal> broken;
  std::int64_t unit = 1;  // sequences that the batch is dealt out by
  LayoutCensus layouts;   // with the config's other keys
  LayoutCensus variants;  // with every value of them
  std::optional<ExactPrice> price;
};

LayoutPlan plan_layout(const LoadedConfig& config, std::int64_t ranks);

std::string describe(const LayoutPlan& plan, const TrainConfig& config);
std::string to_json(const LayoutPlan& plan, const TrainConfig& config);  // one object, without line feed

// "refused: 1 ...": the counts by rule, one line each; empty where nothing was refused.
std::string refused_by_rule(const LayoutCensus& census);

// {"enumerated", "legal", "refused": {rule: count}}.
nlohmann::ordered_json json_of(const LayoutCensus& census);

// Declares the verb `check` of `plan`.
void add_plan_check(CLI::App& plan, Run& run);

}  // namespace megalith::app
