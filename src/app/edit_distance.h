// The nearest known word, for "did you mean".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace megalith::app {

// Insertions, deletions, substitutions and swaps of neighbours that turn one into the other.
int edit_distance(std::string_view a, std::string_view b);

// The known word at the least distance, or "" when none is near enough to have been meant (more than a third
// of the letters differ). A known word that `word` abbreviates counts as near. Only the first 64 bytes of
// `word` are looked at.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

}  // namespace megalith::app
