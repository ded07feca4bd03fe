// What the keys are, for people and for programs, from their one declaration.
#pragma once

#include <string>
#include <string_view>

#include "config/registry.h"

namespace megalith {

// One key in full, all keys of a section, or everything where `name` is "". Shows the registry's present
// values beside the defaults. Refused: a name that is neither, with the nearest that is.
Expected<std::string> explain(const Registry& registry, std::string_view name);

// The reference page docs/configuration.md.
std::string to_markdown(const Registry& registry);

// A JSON array with an object per key: name, type, unit, legal, default, value, origin, may_change_on_resume,
// help. `name` as in explain.
Expected<std::string> explain_as_json(const Registry& registry, std::string_view name);

}  // namespace megalith
