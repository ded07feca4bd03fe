#include "train/rate_rules.h"

#include <fnmatch.h>

#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

namespace megalith {
namespace {

constexpr double kLargestFactor = 1000;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

Expected<RateRule> parse_rate_rule(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  const std::string_view pattern =
      trimmed(std::string_view(text).substr(0, equals == std::string::npos ? text.size() : equals));
  const std::string_view number =
      equals == std::string::npos ? "" : trimmed(std::string_view(text).substr(equals + 1));
  double factor = -1;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), factor);
  const bool whole = error == std::errc{} && end == number.data() + number.size();
  if (pattern.empty() || !whole || !(factor >= 0 && factor <= kLargestFactor)) {
    return refuse(
        Refusal{.where = "",
                .found = fmt::format("\"{}\"", text),
                .allowed = fmt::format("\"PATTERN = FACTOR\" with a factor of 0 to {}", kLargestFactor),
                .nearest = fmt::format("\"{} = 1\"", pattern.empty() ? "embedding.*" : pattern)});
  }
  return RateRule{.pattern = std::string(pattern), .factor = factor};
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
