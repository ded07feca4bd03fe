// One source of data.blend, as a config writes it.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"

namespace megalith {

// "corpora/wiki-train = 0.7", or "corpora/code-train = 2 epochs".
struct BlendEntry {
  std::string prefix;  // of token files, without .bin and .idx
  double amount = 1;   // share of the samples relative to the other entries, or epochs
  bool epochs = false;
};

// What metrics and messages call token files: the last part of the prefix, and as many more as tell it from
// the others ("wiki/train" and "code/train"). Of equal prefixes the second has "#2" behind its name, and so
// on.
std::vector<std::string> names_of_prefixes(const std::vector<std::string>& prefixes);

// The refusal has no `where`. Amounts are above 0 and at most 1e6.
Expected<BlendEntry> parse_blend_entry(const std::string& text);

}  // namespace megalith
