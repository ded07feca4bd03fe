#include "app/number_range.h"

#include <fmt/format.h>

#include <cmath>

namespace megalith::app {

CLI::Validator between(double low, double high) {
  const std::string range = fmt::format("{} to {}", low, high);
  const auto check = [=](std::string& text) {
    double value = NAN;
    const bool inside = CLI::detail::lexical_cast(text, value) && value >= low && value <= high;
    return inside ? std::string() : fmt::format("'{}' is not in the range {}", text, range);
  };
  return {check, "in " + range};
}

}  // namespace megalith::app
