// TOML text to assignments. The only place that knows the TOML library.
#pragma once

#include <string_view>
#include <vector>

#include "config/value.h"
#include "core/error.h"

namespace megalith {

struct TomlDocument {
  std::vector<Assignment> assignments;  // in the order of the lines
  Refusals refusals;                    // syntax errors and values given twice, with line and column
};

// Reads as much as can be read: a broken line is reported and left out, and reading goes on behind it, so
// that one call shows every mistake. Where a mistake is not confined to its line, reading stops with it.
TomlDocument read_toml(std::string_view text, std::string_view file_name);

// The value on the right of KEY=VALUE on a command line: one TOML value on one line.
Expected<Value> read_toml_value(std::string_view text, std::string_view where);

}  // namespace megalith
