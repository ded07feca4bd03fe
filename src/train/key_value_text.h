// "KEY = VALUE" inside one text of a list.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace megalith {

inline std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Views into the text; the value is empty without an equals sign. The last one counts.
struct KeyValueText {
  std::string_view key, value;
};
inline KeyValueText split_key_value(std::string_view text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string_view::npos) return {trimmed(text), {}};
  return {trimmed(text.substr(0, equals)), trimmed(text.substr(equals + 1))};
}

// A number that is the whole text.
inline std::optional<double> whole_number_text(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace megalith
