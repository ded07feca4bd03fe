// Learning rates per group of parameters: what optimizer.learning_rate_factors says about a tensor.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"

namespace megalith {

// "layers.*.bias = 0.5": a shell pattern (fnmatch: * ? [...], and * takes dots too) over parameter names, and
// what the learning rate is multiplied by there. 0 freezes.
struct RateRule {
  std::string pattern;
  double factor = 1;
};

// The refusal has no `where`. Factors are 0 to 1000.
Expected<RateRule> parse_rate_rule(const std::string& text);

bool matches(const RateRule& rule, const std::string& parameter);

// The factor of the last rule that names the parameter; 1 where none does. REQUIRES: rules that parse.
double rate_factor(const std::vector<std::string>& rules, const std::string& parameter);

}  // namespace megalith
