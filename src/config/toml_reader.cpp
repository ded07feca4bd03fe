#include "config/toml_reader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "config/toml_limits.h"

namespace {
// The library asserts things that texts such as "[=" break (seen in 3.3 and 3.4), and an input must not end
// the program: its assertions throw this instead, in every build type.
struct ParserGaveUp {};
[[noreturn]] void parser_gives_up_here() {
  throw ParserGaveUp{};
}
}  // namespace
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : parser_gives_up_here())
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

// Where and why a text is no TOML.
struct SyntaxError {
  std::uint32_t line = 0;
  std::uint32_t column = 1;
  std::string why;
};

bool parser_gives_up(std::string_view text) {
  try {
    static_cast<void>(toml::parse(text));
    return false;
  } catch (const ParserGaveUp&) {
    return true;
  }
}

// The line the parser gave up in: it reads in order, so the first lines up to this one are enough to break
// it.
std::uint32_t line_of_giving_up(std::string_view text) {
  auto good = std::uint32_t{0};
  auto bad = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n') + 1);
  while (bad - good > 1) {
    const std::uint32_t middle = good + (bad - good) / 2;
    (parser_gives_up(text.substr(0, begin_of_line(text, middle + 1))) ? bad : good) = middle;
  }
  return bad;
}

std::variant<toml::table, SyntaxError> parse(std::string_view text) {
  if (const auto place = first_unquoted_foreign_character(text)) {
    return SyntaxError{place->line, place->column,
                       "outside of quotes and comments only ASCII, straight quotes too"};
  }
  try {
    toml::parse_result parsed = toml::parse(text);
    if (parsed) return std::move(parsed).table();
    const toml::source_position at = parsed.error().source().begin;
    return SyntaxError{at.line, at.column, std::string(parsed.error().description())};
  } catch (const ParserGaveUp&) {
    return SyntaxError{line_of_giving_up(text), 1, "this line is neither a key = value nor a [section]"};
  }
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
    const std::variant<toml::table, SyntaxError> parsed = parse(readable);
    if (const auto* table = std::get_if<toml::table>(&parsed)) {
      std::vector<std::pair<std::uint32_t, Assignment>> found;
      flatten(*table, "", file_name, found);
      std::stable_sort(found.begin(), found.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      for (auto& [line, assignment] : found) document.assignments.push_back(std::move(assignment));
      return document;
    }
    const SyntaxError& error = std::get<SyntaxError>(parsed);
    const std::size_t begin = begin_of_line(readable, error.line);
    const std::string_view line = line_of(readable, begin);
    document.refusals.push_back({.where = fmt::format("{}:{}:{}", file_name, error.line, error.column),
                                 .found = fmt::format("\"{}\"", shown(std::string(line))),
                                 .allowed = fmt::format("TOML ({})", shown(error.why, 200)),
                                 .nearest = {}});
    if (!stands_alone(line) || document.refusals.size() >= kMostSyntaxErrors) return document;
    std::fill_n(readable.begin() + static_cast<std::ptrdiff_t>(begin), line.size(), ' ');
  }
}

Expected<Value> read_toml_value(std::string_view text, std::string_view where) {
  const auto refused = [&] {
    return refuse({.where = std::string(where),
                   .found = fmt::format("\"{}\"", shown(std::string(text))),
                   .allowed = "one TOML value: 12, 0.5, true, \"text\", [\"a\", \"b\"]",
                   .nearest = {}});
  };
  const bool one_line = text.find_first_of("\r\n") == std::string_view::npos;
  if (!one_line || text.empty() || !check_toml_limits(text, where)) return refused();
  const std::string assignment = "value = " + std::string(text);
  const std::variant<toml::table, SyntaxError> parsed = parse(assignment);
  const auto* table = std::get_if<toml::table>(&parsed);
  if (table == nullptr || table->size() != 1) return refused();
  return to_value(*table->get("value"));
}

}  // namespace megalith
