// A value as a user wrote it, before any key has looked at it; and the assignments a file or argument
// consists of.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace megalith {

// Something TOML has and no key takes: a date, a time, a table.
struct ForeignValue {
  std::string what;  // "a date"
};

struct Value {
  std::variant<std::int64_t, double, bool, std::string, std::vector<Value>, ForeignValue> data;
};

// For messages: `the text "abc"`, `the integer 5`. Long values are cut, control characters escaped.
std::string describe(const Value& value);

// One key = value. `where` names its place ("tiny.toml:12", "--set"), without the key.
struct Assignment {
  std::string key;  // dotted: "batch.global"
  Value value;
  std::string where;
};

// TOML spellings that read back as the same value.
std::string toml_text(const std::string& text);  // "..." with escapes
std::string toml_real(double value);             // shortest that reads back equal; always a TOML float

// At most `limit` bytes of text for a message, control characters and broken UTF-8 made visible, "..." where
// cut.
std::string shown(const std::string& text, std::size_t limit = 60);

}  // namespace megalith
