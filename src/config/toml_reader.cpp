#include "config/toml_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "config/toml_limits.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_MAX_NESTED_VALUES 32
#include <toml++/toml.h>

namespace megalith {
namespace {

constexpr std::size_t kMostSyntaxErrors = 20;

Value to_value(const toml::node& node) {
  if (const auto* value = node.as_integer()) return {value->get()};
  if (const auto* value = node.as_floating_point()) return {value->get()};
  if (const auto* value = node.as_boolean()) return {value->get()};
  if (const auto* value = node.as_string()) return {value->get()};
  if (const auto* array = node.as_array()) {
    std::vector<Value> values;
    for (const toml::node& element : *array) values.push_back(to_value(element));
    return {std::move(values)};
  }
  return {ForeignValue{node.is_table() ? "a table" : "a date or time"}};
}

// Tables are only their keys, except empty ones: [seed] must not pass for a seed unnoticed.
void flatten(const toml::table& table, const std::string& prefix, std::string_view file_name,
             std::vector<std::pair<std::uint32_t, Assignment>>& found) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    const toml::table* inner = node.as_table();
    if (inner != nullptr && !inner->empty()) {
      flatten(*inner, name + ".", file_name, found);
      continue;
    }
    const std::uint32_t line = key.source().begin.line;
    found.push_back(
        {line, {.key = name, .value = to_value(node), .where = fmt::format("{}:{}", file_name, line)}});
  }
}

std::string_view line_of(std::string_view text, std::size_t begin) {
  return text.substr(begin, std::min(text.find('\n', begin), text.size()) - begin);
}

std::size_t begin_of_line(std::string_view text, std::uint32_t line) {
  std::size_t begin = 0;
  for (std::uint32_t n = 1; n < line; ++n) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return text.size();
    begin = end + 1;
  }
  return begin;
}

// Whether leaving this line out leaves the meaning of all others as it was.
bool stands_alone(std::string_view line) {
  const std::size_t start = line.find_first_not_of(" \t");
  if (start == std::string_view::npos || line[start] == '[') return false;
  return line.find("\"\"\"") == std::string_view::npos && line.find("'''") == std::string_view::npos &&
         std::count(line.begin(), line.end(), '[') == std::count(line.begin(), line.end(), ']') &&
         std::count(line.begin(), line.end(), '{') == std::count(line.begin(), line.end(), '}');
}

Refusal syntax_error(const toml::parse_error& error, std::string_view file_name, std::string_view line) {
  const toml::source_position at = error.source().begin;
  return {.where = fmt::format("{}:{}:{}", file_name, at.line, at.column),
          .found = fmt::format("\"{}\"", shown(std::string(line))),
          .allowed = fmt::format("TOML ({})", shown(std::string(error.description()), 200)),
          .nearest = {}};
}

}  // namespace

TomlDocument read_toml(std::string_view text, std::string_view file_name) {
  TomlDocument document;
  if (auto within = check_toml_limits(text, file_name); !within) {
    document.refusals = std::move(within).error();
    return document;
  }
  std::string readable(text);
  while (true) {
    const toml::parse_result parsed = toml::parse(std::string_view(readable));
    if (parsed) {
      std::vector<std::pair<std::uint32_t, Assignment>> found;
      flatten(parsed.table(), "", file_name, found);
      std::stable_sort(found.begin(), found.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      for (auto& [line, assignment] : found) document.assignments.push_back(std::move(assignment));
      return document;
    }
    const std::size_t begin = begin_of_line(readable, parsed.error().source().begin.line);
    const std::string_view line = line_of(readable, begin);
    document.refusals.push_back(syntax_error(parsed.error(), file_name, line));
    if (!stands_alone(line) || document.refusals.size() >= kMostSyntaxErrors) return document;
    std::fill_n(readable.begin() + static_cast<std::ptrdiff_t>(begin), line.size(), ' ');
  }
}

Expected<Value> read_toml_value(std::string_view text, std::string_view where) {
  const auto refused = [&](std::string nearest) {
    return refuse({.where = std::string(where),
                   .found = fmt::format("\"{}\"", shown(std::string(text))),
                   .allowed = "one TOML value: 12, 0.5, true, \"text\", [\"a\", \"b\"]",
                   .nearest = std::move(nearest)});
  };
  const bool one_line = text.find_first_of("\r\n") == std::string_view::npos;
  if (!one_line || text.empty() || !check_toml_limits(text, where)) return refused("");
  const std::string assignment = "value = " + std::string(text);
  const toml::parse_result parsed = toml::parse(std::string_view(assignment));
  if (!parsed || parsed.table().size() != 1) return refused("");
  return to_value(*parsed.table().get("value"));
}

}  // namespace megalith
