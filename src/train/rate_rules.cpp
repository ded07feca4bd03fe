#include "train/rate_rules.h"

#include <fnmatch.h>

#include <optional>
#include <utility>

#include "train/key_value_text.h"

namespace megalith {
namespace {

constexpr double kLargestFactor = 1000;

}  // namespace

Expected<RateRule> parse_rate_rule(const std::string& text) {
  const KeyValueText parts = split_key_value(text);
  const std::optional<double> factor = whole_number_text(parts.value);
  if (parts.key.empty() || !factor || !(*factor >= 0 && *factor <= kLargestFactor)) {
    return refuse(
        Refusal{.where = "",
                .found = fmt::format("\"{}\"", text),
                .allowed = fmt::format("\"PATTERN = FACTOR\" with a factor of 0 to {}", kLargestFactor),
                .nearest = fmt::format("\"{} = 1\"", parts.key.empty() ? "embedding.*" : parts.key)});
  }
  return RateRule{.pattern = std::string(parts.key), .factor = *factor};
}

bool matches(const RateRule& rule, const std::string& parameter) {
  return ::fnmatch(rule.pattern.c_str(), parameter.c_str(), 0) == 0;
}

double rate_factor(const std::vector<std::string>& rules, const std::string& parameter) {
  double factor = 1;
  for (const std::string& text : rules) {
    const RateRule rule = value_or_throw(parse_rate_rule(text));
    if (matches(rule, parameter)) factor = rule.factor;
  }
  return factor;
}

}  // namespace megalith
