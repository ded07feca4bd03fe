// JSON from strangers: what nlohmann::json would silently repair or choke on is refused.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"

namespace megalith {

// Refused, `name` first: what is not one JSON document, nesting deeper than 32 (a vocabulary has 3), and an
// object that has the same key twice (which of the two counts differs between readers).
Expected<nlohmann::json> parse_strict_json(std::string_view text, std::string_view name);

// "a string", "an array", ...: how refusals call what they found.
std::string kind_of(const nlohmann::json& value);

}  // namespace megalith
