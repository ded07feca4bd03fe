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

// Calls visit(index, line) for every byte outside strings and comments until it returns false.
template <class Visit>
void for_each_bare_byte(std::string_view text, const Visit& visit) {
  std::uint32_t line = 1;
  std::size_t i = 0;
  while (i < text.size()) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      const std::size_t end = end_of_string(text, i);
      const std::string_view inside = text.substr(i, end - i);
      line += static_cast<std::uint32_t>(std::count(inside.begin(), inside.end(), '\n'));
      i = end;
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else {
      if (!visit(i, line)) return;
      if (c == '\n') ++line;
      ++i;
    }
  }
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
  std::uint32_t deep_line = 0;
  for_each_bare_byte(text, [&](std::size_t i, std::uint32_t line) {
    const char c = text[i];
    if (std::string_view("\n,={}[]").find(c) != std::string_view::npos) parts = 0;
    if (c == '[' || c == '{') ++open;
    if (c == ']' || c == '}') open = std::max(0, open - 1);
    if (c == '.') ++parts;
    if (open > kDeepestConfig || parts > kDeepestConfig) deep_line = line;
    return deep_line == 0;
  });
  if (deep_line == 0) return {};
  return refuse({.where = fmt::format("{}:{}", file_name, deep_line),
                 .found = open > kDeepestConfig ? "values nested too deep" : "a key of too many parts",
                 .allowed = fmt::format("at most {} levels", kDeepestConfig),
                 .nearest = {}});
}

std::optional<TextPlace> first_unquoted_foreign_character(std::string_view text) {
  const std::size_t start = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  std::optional<TextPlace> place;
  for_each_bare_byte(text.substr(start), [&](std::size_t i, std::uint32_t line) {
    const std::size_t index = start + i;
    if (static_cast<unsigned char>(text[index]) < 0x80) return true;
    const std::size_t before = text.rfind('\n', index);
    const std::size_t line_start = before == std::string_view::npos ? 0 : before + 1;
    place = TextPlace{.line = line, .column = static_cast<std::uint32_t>(index - line_start + 1)};
    return false;
  });
  return place;
}

}  // namespace megalith
