#include "config/value.h"

#include <fmt/format.h>

#include <cmath>

namespace megalith {
namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (byte < 0x20 || byte == 0x7F) {
          out += fmt::format("\\u{:04X}", byte);
        } else {
          out += c;
        }
    }
  }
  return out;
}

struct Describer {
  std::string operator()(std::int64_t value) const { return fmt::format("the integer {}", value); }
  std::string operator()(double value) const { return fmt::format("the number {}", toml_real(value)); }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(const std::string& value) const {
    return fmt::format("the text \"{}\"", shown(value));
  }
  std::string operator()(const std::vector<Value>& value) const {
    return fmt::format("a list of {} value{}", value.size(), value.size() == 1 ? "" : "s");
  }
  std::string operator()(const ForeignValue& value) const { return value.what; }
};

}  // namespace

std::string describe(const Value& value) {
  return std::visit(Describer{}, value.data);
}

std::string toml_text(const std::string& text) {
  return '"' + escaped(text) + '"';
}

std::string toml_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);
  // TOML tells floats from integers by the point or the exponent.
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string shown(const std::string& text, std::size_t limit) {
  std::string cut = text.substr(0, limit);
  if (cut.size() < text.size()) {
    // Not in the middle of a character: drop continuation bytes and the lead byte they belong to.
    while (!cut.empty() && (static_cast<unsigned char>(cut.back()) & 0xC0U) == 0x80U) cut.pop_back();
    if (!cut.empty() && static_cast<unsigned char>(cut.back()) >= 0xC0U) cut.pop_back();
    return escaped(cut) + "...";
  }
  return escaped(cut);
}

}  // namespace megalith
