#include "app/report/numbers.h"

#include <fmt/format.h>

#include <cmath>

namespace megalith::app {
namespace {

// 0.50 -> 0.5, 2.00 -> 2
std::string without_trailing_zeros(std::string text) {
  if (text.find('.') == std::string::npos || text.find('e') != std::string::npos) return text;
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

std::string fixed(double value, int decimals) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, decimals) : "n/a";
}

std::string compact(double value) {
  if (!std::isfinite(value)) return "n/a";
  const double size = std::fabs(value);
  if (size == 0) return "0";
  if (size < 1e-3 || size >= 1e15) return fmt::format("{:.2g}", value);
  if (size < 1) return without_trailing_zeros(fmt::format("{:.3g}", value));
  if (size < 10) return without_trailing_zeros(fmt::format("{:.2f}", value));
  if (size < 100) return without_trailing_zeros(fmt::format("{:.1f}", value));
  if (size < 1000) return fmt::format("{:.0f}", value);
  if (size < 10000) {
    const std::string digits = fmt::format("{:.0f}", size);
    return (value < 0 ? "-" : "") + digits.substr(0, digits.size() - 3) + "," +
           digits.substr(digits.size() - 3);
  }
  double scaled = value;
  const char* unit = "";
  for (const char* next : {"k", "M", "G", "T"}) {
    if (std::fabs(scaled) < 1000) break;
    scaled /= 1000;
    unit = next;
  }
  return without_trailing_zeros(fmt::format("{:.{}f}", scaled, std::fabs(scaled) < 10 ? 2 : 1)) + unit;
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "n/a";
  const long long whole = std::llround(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace megalith::app
