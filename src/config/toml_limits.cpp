#include "config/toml_limits.h"

#include <algorithm>

namespace megalith {
namespace {

// Index just behind the string that starts at text[begin], a quote. A one-line string ends at its line's end
// if its quote is missing: the parser will say so.
std::size_t end_of_string(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  const bool escapes = quote == '"';
  const bool many_lines = text.substr(begin, 3) == std::string(3, quote);
  std::size_t i = begin + (many_lines ? 3 : 1);
  while (i < text.size()) {
    if (escapes && text[i] == '\\') {
      i += 2;
    } else if (many_lines && text.substr(i, 3) == std::string(3, quote)) {
      return i + 3;
    } else if (!many_lines && text[i] == quote) {
      return i + 1;
    } else if (!many_lines && text[i] == '\n') {
      return i;
    } else {
      ++i;
    }
  }
  return text.size();
}

}  // namespace

Expected<void> check_toml_limits(std::string_view text, std::string_view file_name) {
  if (text.size() > kLargestConfigBytes) {
    return refuse({.where = std::string(file_name),
                   .found = fmt::format("{} bytes", text.size()),
                   .allowed = fmt::format("a config of at most {} bytes", kLargestConfigBytes),
                   .nearest = {}});
  }
  int open = 0;   // brackets and braces
  int parts = 0;  // dots since the last character that ends a key
  int line = 1;
  std::size_t i = 0;
  while (i < text.size()) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      const std::size_t end = end_of_string(text, i);
      line += static_cast<int>(
          std::count(text.begin() + static_cast<std::ptrdiff_t>(i),
                     text.begin() + static_cast<std::ptrdiff_t>(std::min(end, text.size())), '\n'));
      i = end;
      continue;
    }
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
      continue;
    }
    if (c == '\n') ++line;
    if (c == '\n' || c == ',' || c == '=' || c == '{' || c == '}' || c == '[' || c == ']') parts = 0;
    if (c == '[' || c == '{') ++open;
    if (c == ']' || c == '}') open = std::max(0, open - 1);
    if (c == '.') ++parts;
    if (open > kDeepestConfig || parts > kDeepestConfig) {
      return refuse({.where = fmt::format("{}:{}", file_name, line),
                     .found = open > kDeepestConfig ? "values nested too deep" : "a key of too many parts",
                     .allowed = fmt::format("at most {} levels", kDeepestConfig),
                     .nearest = {}});
    }
    ++i;
  }
  return {};
}

}  // namespace megalith
