// What the user probably meant.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace megalith {

// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate closest to `name`, or "" when none is close. A dotted name also matches a candidate with the
// same last part ("train.steps" and "steps" find "schedule.steps").
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace megalith
