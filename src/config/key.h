// One key: everything there is to know about it, bound to a field of somebody's struct.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/value.h"
#include "core/error.h"

namespace megalith {

enum class KeyType : std::uint8_t { integer, real, text, choice, boolean, text_list };
const char* name_of(KeyType type);  // "integer", "number", "text", "choice", "boolean", "list of texts"

// What a declaration says. Fields that do not concern a type are left alone.
struct IntegerRule {
  std::int64_t min = 0;
  std::int64_t max = INT64_MAX;
  const char* zero = nullptr;  // what 0 means, where 0 is legal besides min..max: "off"
  bool power_of_two = false;
  const char* unit = "";
  const char* help = "";
  bool may_change_on_resume = false;
};
struct RealRule {
  double min = 0;
  double max = 0;
  bool min_excluded = false;
  bool max_excluded = false;
  const char* zero = nullptr;
  const char* unit = "";
  const char* help = "";
  bool may_change_on_resume = false;
};
struct TextRule {
  const char* empty = nullptr;  // what "" means, where it is legal
  std::size_t max_bytes = 4096;
  const char* unit = "";
  const char* help = "";
  bool may_change_on_resume = false;
};
struct ChoiceRule {
  const char* help = "";
  bool may_change_on_resume = false;
};
struct BooleanRule {
  const char* help = "";
  bool may_change_on_resume = false;
};

// What a key makes of a value: nothing and the field is set, or a refusal without `where` and the field is as
// it was.
using Assign = std::function<std::optional<Refusal>(const Value&)>;

struct Key {
  std::string name;  // "batch.global"
  KeyType type = KeyType::integer;
  std::string unit;
  std::string help;
  std::string legal;          // "1 to 4096, or 0 (off)"
  std::string default_value;  // TOML spelling
  bool may_change_on_resume = false;
  std::string origin;  // where the value came from: "tiny.toml:12", "--set"; empty: the default
  Assign assign;       // prefer Registry::assign, which also keeps `origin`
  std::function<std::string()> show;  // the field's value in TOML spelling
};

// The parts of a key that depend on its type. Registry binds them to a field.
Key integer_key(IntegerRule rule, std::function<std::int64_t()> get, std::function<void(std::int64_t)> set);
Key real_key(RealRule rule, double& field);
Key text_key(TextRule rule, std::string& field);
Key boolean_key(BooleanRule rule, bool& field);
Key text_list_key(TextRule rule, std::vector<std::string>& field);
// `names` in the order of the enumeration's meaning; get and set speak in positions of `names`.
Key choice_key(ChoiceRule rule, std::vector<std::string> names, std::function<std::size_t()> get,
               std::function<void(std::size_t)> set);

}  // namespace megalith
