// What the readers of the parts of a tokenizer.json ask of its values. Problems go to the PartsReader.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "data/tokenizer/vocabulary_files.h"

namespace megalith {

class JsonChecks {
 public:
  explicit JsonChecks(PartsReader& parts) : parts_(&parts) {}

  // No key of `object` but the known ones. `prefix` goes before the key in refusals: "model.".
  void check_keys(const nlohmann::json& object, const std::string& prefix,
                  std::initializer_list<std::string_view> known);
  // `key` of `object` is absent or null.
  void require_absent(const nlohmann::json& object, const std::string& key, const std::string& prefix = "");
  // `key` of `object` must be `required`; when it is absent it counts as `absent`.
  void require_boolean(const nlohmann::json& object, const std::string& where, const char* key, bool required,
                       bool absent);
  // `absent` when `key` is absent, and when it is no boolean, which is refused.
  bool read_boolean(const nlohmann::json& object, const std::string& where, const char* key, bool absent);

  // "Sequence" for {"type": "Sequence", ...}: the refusal calls the thing by its name.
  static std::string describe(const nlohmann::json& value);
  static bool is_of_type(const nlohmann::json& value, std::string_view type);

 private:
  PartsReader* parts_;
};

}  // namespace megalith
