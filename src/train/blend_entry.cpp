#include "train/blend_entry.h"

#include <algorithm>

#include "train/key_value_text.h"

namespace megalith {

namespace {

// The last `parts` parts of a path.
std::string tail(const std::string& path, int parts) {
  std::size_t at = path.size();
  for (; parts > 0 && at != std::string::npos && at > 0; --parts) at = path.rfind('/', at - 1);
  return at == std::string::npos || at == 0 ? path : path.substr(at + 1);
}

}  // namespace

std::vector<std::string> names_of_prefixes(const std::vector<std::string>& prefixes) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    const std::string& prefix = prefixes[i];
    const auto shared = [&](int parts) {
      return std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& other) {
        return other != prefix && tail(other, parts) == tail(prefix, parts);
      });
    };
    int parts = 1;
    while (shared(parts) && tail(prefix, parts) != prefix) ++parts;
    std::string name = tail(prefix, parts);
    const auto before =
        std::count(prefixes.begin(), prefixes.begin() + static_cast<std::ptrdiff_t>(i), prefix);
    if (before > 0) name += fmt::format("#{}", before + 1);
    names.push_back(std::move(name));
  }
  return names;
}

Expected<BlendEntry> parse_blend_entry(const std::string& text) {
  constexpr double kMost = 1e6;
  constexpr std::string_view kEpochs = " epochs";
  KeyValueText parts = split_key_value(text);
  const bool epochs = parts.value.ends_with(kEpochs);
  if (epochs) parts.value.remove_suffix(kEpochs.size());
  const std::optional<double> amount = whole_number_text(trimmed(parts.value));
  if (parts.key.empty() || !amount || !(*amount > 0 && *amount <= kMost)) {
    return refuse(
        Refusal{.where = "",
                .found = fmt::format("\"{}\"", text),
                .allowed = "\"TOKEN_FILES = WEIGHT\" or \"TOKEN_FILES = N epochs\", above 0",
                .nearest = fmt::format("\"{} = 1\"", parts.key.empty() ? "corpus-train" : parts.key)});
  }
  return BlendEntry{.prefix = std::string(parts.key), .amount = *amount, .epochs = epochs};
}

}  // namespace megalith
