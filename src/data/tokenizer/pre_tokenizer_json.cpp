#include "data/tokenizer/pre_tokenizer_json.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "data/tokenizer/json_checks.h"
#include "data/tokenizer/strict_json.h"

namespace megalith {
namespace {

using Json = nlohmann::json;
using Kind = PieceStage::Kind;

constexpr std::array<std::pair<SplitBehavior, std::string_view>, 5> kBehaviors{
    {{SplitBehavior::removed, "Removed"},
     {SplitBehavior::isolated, "Isolated"},
     {SplitBehavior::merged_with_previous, "MergedWithPrevious"},
     {SplitBehavior::merged_with_next, "MergedWithNext"},
     {SplitBehavior::contiguous, "Contiguous"}}};
constexpr std::array<std::pair<Kind, std::string_view>, 6> kKinds{
    {{Kind::split, "Split"},
     {Kind::digits, "Digits"},
     {Kind::punctuation, "Punctuation"},
     {Kind::whitespace, "Whitespace"},
     {Kind::whitespace_split, "WhitespaceSplit"},
     {Kind::byte_level, "ByteLevel"}}};
constexpr const char* kAllowed =
    "stages of Split, Digits, Punctuation, Whitespace, WhitespaceSplit and, once, ByteLevel";

template <class Value, std::size_t size>
std::optional<Value> value_of(const std::array<std::pair<Value, std::string_view>, size>& names,
                              const Json& name) {
  for (const auto& [value, known] : names) {
    if (name == known) return value;
  }
  return std::nullopt;
}

template <class Value, std::size_t size>
std::string_view name_in(const std::array<std::pair<Value, std::string_view>, size>& names, Value value) {
  return std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.first == value; })
      ->second;
}

class StagesReader {
 public:
  explicit StagesReader(PartsReader& parts) : parts_(parts), checks_(parts) {}

  std::optional<std::vector<PieceStage>> read(const std::vector<Json>& steps, const Json& value) {
    std::vector<PieceStage> stages;
    for (const Json& step : steps) {
      const auto kind =
          step.is_object() && step.contains("type") ? value_of(kKinds, step["type"]) : std::nullopt;
      if (!kind) {
        parts_.refuse_because("pre_tokenizer", JsonChecks::describe(step), kAllowed);
        return std::nullopt;
      }
      stages.push_back(read_stage(*kind, step));
    }
    const auto byte_levels = std::count_if(
        stages.begin(), stages.end(), [](const PieceStage& stage) { return stage.kind == Kind::byte_level; });
    if (byte_levels != 1) {
      const std::string found = stages.empty() ? JsonChecks::describe(value) : std::string("stages");
      parts_.refuse_because("pre_tokenizer", fmt::format("{} with {} times ByteLevel", found, byte_levels),
                            kAllowed);
      return std::nullopt;
    }
    return stages;
  }

 private:
  PieceStage read_stage(Kind kind, const Json& step) {
    PieceStage stage{.kind = kind};
    const std::string where = "pre_tokenizer." + std::string(name_in(kKinds, kind));
    switch (kind) {
      case Kind::split:
        checks_.check_keys(step, where + ".", {"type", "pattern", "behavior", "invert"});
        stage.invert = checks_.read_boolean(step, where, "invert", false);
        stage.behavior = read_behavior(step, where, std::nullopt);
        read_pattern(step, where, stage);
        break;
      case Kind::digits:
        checks_.check_keys(step, where + ".", {"type", "individual_digits"});
        stage.individual = checks_.read_boolean(step, where, "individual_digits", false);
        break;
      case Kind::punctuation:
        checks_.check_keys(step, where + ".", {"type", "behavior"});
        stage.behavior = read_behavior(step, where, SplitBehavior::isolated);
        break;
      case Kind::whitespace:
      case Kind::whitespace_split:
        checks_.check_keys(step, where + ".", {"type"});
        break;
      case Kind::byte_level:
        checks_.check_keys(step, where + ".", {"type", "add_prefix_space", "use_regex", "trim_offsets"});
        stage.prefix_space = checks_.read_boolean(step, where, "add_prefix_space", true);
        stage.gpt2_pattern = checks_.read_boolean(step, where, "use_regex", true);
        break;
    }
    return stage;
  }

  SplitBehavior read_behavior(const Json& step, const std::string& where,
                              std::optional<SplitBehavior> absent) {
    const auto value = step.find("behavior");
    if (value == step.end() && absent) return *absent;
    if (value != step.end()) {
      if (const auto behavior = value_of(kBehaviors, *value)) return *behavior;
    }
    parts_.refuse_because(where + ".behavior", value == step.end() ? "nothing" : kind_of(*value),
                          "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
    return SplitBehavior::isolated;
  }

  void read_pattern(const Json& step, const std::string& where, PieceStage& stage) {
    const Json pattern = step.contains("pattern") ? step["pattern"] : Json();
    for (const char* kind : {"Regex", "String"}) {
      if (!pattern.is_object() || pattern.size() != 1 || !pattern.contains(kind) ||
          !pattern[kind].is_string())
        continue;
      stage.is_literal = std::string_view(kind) == "String";
      stage.pattern = pattern[kind].get<std::string>();
      return;
    }
    parts_.refuse_because(where + ".pattern", kind_of(pattern),
                          "{\"Regex\": \"...\"} or {\"String\": \"...\"}");
  }

  PartsReader& parts_;
  JsonChecks checks_;
};

// The known pattern whose pieces the stages give, which are then cut faster. Every character is in a match of
// each known pattern, so there is nothing between the matches: keeping them apart (Isolated) and dropping
// what lies between them (Removed, inverted) come to the same.
bool are_a_known_pattern(const std::vector<PieceStage>& stages, TokenizerParts& parts) {
  const PieceStage& bytes = stages.back();
  if (bytes.kind != Kind::byte_level || stages.size() > 2) return false;
  if (stages.size() == 1) {
    if (!bytes.gpt2_pattern) return false;
    parts.prefix_space = bytes.prefix_space;
    return true;
  }
  const PieceStage& split = stages.front();
  const bool keeps_matches =
      split.behavior == SplitBehavior::isolated || (split.behavior == SplitBehavior::removed && split.invert);
  // Behind a Split a space would go before every piece.
  if (split.kind != Kind::split || split.is_literal || !keeps_matches || bytes.prefix_space ||
      bytes.gpt2_pattern) {
    return false;
  }
  const auto pattern = pattern_of_regex(split.pattern);
  if (pattern) parts.pattern = *pattern;
  return pattern.has_value();
}

std::string stage_json(const PieceStage& stage) {
  std::string json = fmt::format(R"({{"type": "{}")", name_in(kKinds, stage.kind));
  if (stage.kind == Kind::split) {
    json += fmt::format(R"(, "pattern": {{"{}": {}}})", stage.is_literal ? "String" : "Regex",
                        Json(stage.pattern).dump());
  }
  if (stage.kind == Kind::split || stage.kind == Kind::punctuation) {
    json += fmt::format(R"(, "behavior": "{}")", name_in(kBehaviors, stage.behavior));
  }
  if (stage.kind == Kind::split) json += fmt::format(R"(, "invert": {})", stage.invert);
  if (stage.kind == Kind::digits) json += fmt::format(R"(, "individual_digits": {})", stage.individual);
  if (stage.kind == Kind::byte_level) {
    json += fmt::format(R"(, "add_prefix_space": {}, "trim_offsets": true, "use_regex": {})",
                        stage.prefix_space, stage.gpt2_pattern);
  }
  return json + "}";
}

// What the file of a known pattern says.
std::vector<PieceStage> stages_of(const TokenizerParts& parts) {
  if (!parts.stages.empty()) return parts.stages;
  if (parts.pattern == PiecePattern::gpt2) {
    return {{.kind = Kind::byte_level, .prefix_space = parts.prefix_space, .gpt2_pattern = true}};
  }
  return {{.kind = Kind::split, .pattern = std::string(regex_of(parts.pattern))}, {.kind = Kind::byte_level}};
}

}  // namespace

void read_pre_tokenizer(const std::vector<Json>& steps, const Json& value, PartsReader& parts) {
  const auto stages = StagesReader(parts).read(steps, value);
  if (!stages || parts.any_problem() || are_a_known_pattern(*stages, parts.parts())) return;
  if (const auto compiled = PieceStages::compile(*stages); !compiled) {
    const Refusal& why = compiled.error().front();
    parts.refuse_because("pre_tokenizer.Split.pattern", why.found, why.allowed);
    return;
  }
  parts.parts().stages = *stages;
}

std::string pre_tokenizer_json(const TokenizerParts& parts) {
  const std::vector<PieceStage> stages = stages_of(parts);
  if (stages.size() == 1) return stage_json(stages.front());
  std::string json = R"({"type": "Sequence", "pretokenizers": [)";
  const char* separator = "\n    ";
  for (const PieceStage& stage : stages) json += std::exchange(separator, ",\n    ") + stage_json(stage);
  return json + "\n  ]}";
}

}  // namespace megalith
