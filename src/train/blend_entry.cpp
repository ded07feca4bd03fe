#include "train/blend_entry.h"

#include "train/key_value_text.h"

namespace megalith {

std::string BlendEntry::name() const {
  const std::size_t slash = prefix.rfind('/');
  return slash == std::string::npos ? prefix : prefix.substr(slash + 1);
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
