#include "train/alternatives.h"

#include <algorithm>
#include <string>
#include <vector>

namespace megalith {
namespace {

const std::vector<std::vector<std::string>>& groups() {
  static const std::vector<std::vector<std::string>> list = {
      {"schedule.steps", "schedule.tokens", "schedule.epochs"},
      {"batch.ramp_samples", "batch.ramp_tokens"},
      {"schedule.warmup_steps", "schedule.warmup_tokens"},
      {"schedule.horizon_steps", "schedule.horizon_tokens"},
      {"schedule.cooldown_steps", "schedule.cooldown_tokens"},
  };
  return list;
}

bool is_zero(const Key& key) {
  return key.show() == "0" || key.show() == "0.0";
}

void settle(const std::vector<std::string>& group, Registry& registry, Refusals& refusals) {
  std::vector<const Key*> given;
  for (const std::string& name : group) {
    const Key& key = registry.at(name);
    if (!key.origin.empty() && !is_zero(key)) given.push_back(&key);
  }
  std::vector<const Key*> of_command_line;
  std::copy_if(given.begin(), given.end(), std::back_inserter(of_command_line),
               [](const Key* key) { return key->origin == kOverrideOrigin; });
  if (!of_command_line.empty()) given = of_command_line;
  if (given.empty()) return;
  const Key& first = *given.front();
  if (given.size() == 1) {
    for (const std::string& name : group) {
      if (name != first.name) registry.at(name).assign(Value{std::int64_t{0}});
    }
    return;
  }
  for (std::size_t i = 1; i < given.size(); ++i) {
    refusals.push_back({.where = registry.where(given[i]->name),
                        .found = given[i]->show(),
                        .allowed = fmt::format("0, as {} = {} says the same thing", first.name, first.show()),
                        .nearest = fmt::format("leave out {} or {}", first.name, given[i]->name)});
  }
}

}  // namespace

Refusals settle_alternatives(Registry& registry) {
  Refusals refusals;
  for (const std::vector<std::string>& group : groups()) settle(group, registry, refusals);
  return refusals;
}

}  // namespace megalith
