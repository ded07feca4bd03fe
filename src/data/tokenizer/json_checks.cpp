#include "data/tokenizer/json_checks.h"

#include <algorithm>

#include "data/tokenizer/quoted.h"
#include "data/tokenizer/strict_json.h"

namespace megalith {

using Json = nlohmann::json;

void JsonChecks::check_keys(const Json& object, const std::string& prefix,
                            std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    parts_->refuse_because(prefix + quoted_for_message(key), "an unknown key",
                           "no key that could change ids");
  }
}

void JsonChecks::require_absent(const Json& object, const std::string& key, const std::string& prefix) {
  const auto value = object.find(key);
  if (value == object.end() || value->is_null()) return;
  parts_->refuse_because(prefix + key, describe(*value), "null");
}

void JsonChecks::require_boolean(const Json& object, const std::string& where, const char* key, bool required,
                                 bool absent) {
  const auto value = object.find(key);
  if (value == object.end() ? absent == required : *value == required) return;
  parts_->refuse_because(where + "." + key, value == object.end() ? "nothing" : kind_of(*value),
                         required ? "true" : "false");
}

bool JsonChecks::read_boolean(const Json& object, const std::string& where, const char* key, bool absent) {
  const auto value = object.find(key);
  if (value == object.end()) return absent;
  if (value->is_boolean()) return value->get<bool>();
  parts_->refuse_because(where + "." + key, kind_of(*value), "true or false");
  return absent;
}

std::string JsonChecks::describe(const Json& value) {
  if (value.is_object() && value.contains("type")) return kind_of(value["type"]);
  return kind_of(value);
}

bool JsonChecks::is_of_type(const Json& value, std::string_view type) {
  return value.is_object() && value.contains("type") && value["type"] == type;
}

}  // namespace megalith
