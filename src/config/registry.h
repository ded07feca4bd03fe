// The key registry. A key is declared once, bound to a field; parsing, validation, `megalith config explain`,
// error messages and docs/configuration.md all come from that declaration.
//
//   Registry registry;
//   registry.section("batch", "What one optimizer step sees.");
//   registry.integer("batch.global", config.global_batch, {.min = 1, .unit = "sequences", .help = "..."});
//   if (auto read = parse_toml(text, "run.toml", registry); !read) return read.error();
//
// The fields' values at declaration are the defaults. The fields must outlive the registry.
// Rules that concern more than one key are not here: whoever owns the struct checks them afterwards.
#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/key.h"

namespace megalith {

// The origin of a key that the command line set.
inline constexpr const char* kOverrideOrigin = "--set";

struct Section {
  std::string name;  // "batch"; "" holds the keys without a section
  std::string help;
};

class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;  // two registries on the same fields would disagree about origins
  Registry& operator=(const Registry&) = delete;

  // Keys appear in the order of sections, then of declaration. REQUIRES: a key's section is declared first.
  void section(std::string name, std::string help);

  template <std::integral T>
  void integer(std::string name, T& field, IntegerRule rule) {
    constexpr auto largest = std::numeric_limits<T>::max();
    if (std::cmp_less(largest, rule.max)) rule.max = static_cast<std::int64_t>(largest);
    add(std::move(name), integer_key(
                             rule, [&field] { return static_cast<std::int64_t>(field); },
                             [&field](std::int64_t value) { field = static_cast<T>(value); }));
  }
  void real(std::string name, double& field, RealRule rule) { add(std::move(name), real_key(rule, field)); }
  void text(std::string name, std::string& field, TextRule rule) {
    add(std::move(name), text_key(rule, field));
  }
  void boolean(std::string name, bool& field, BooleanRule rule) {
    add(std::move(name), boolean_key(rule, field));
  }
  void text_list(std::string name, std::vector<std::string>& field, TextRule rule) {
    add(std::move(name), text_list_key(rule, field));
  }
  template <class E>
  void choice(std::string name, E& field, std::initializer_list<std::pair<const char*, E>> choices,
              ChoiceRule rule) {
    std::vector<std::string> names;
    std::vector<E> values;
    for (const auto& [label, value] : choices) {
      names.emplace_back(label);
      values.push_back(value);
    }
    const auto position = [values, &field] {
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (values[i] == field) return i;
      }
      MEGALITH_CHECK(false, "the field holds a value that is no choice");
    };
    add(std::move(name),
        choice_key(rule, std::move(names), position, [values, &field](std::size_t i) { field = values[i]; }));
  }

  // Files that were written before a key was renamed are still read. REQUIRES: `name` is declared, `former`
  // is not.
  void former_name(std::string former, std::string name);

  // Applies what was read. A refused assignment leaves its field alone; the others are applied.
  Refusals apply(const std::vector<Assignment>& assignments);

  [[nodiscard]] const std::vector<Key>& keys() const { return keys_; }
  [[nodiscard]] const std::vector<Section>& sections() const { return sections_; }
  [[nodiscard]] const Key* find(std::string_view name) const;  // also by a former name; nullptr: no such key
  // REQUIRES: the key exists.
  [[nodiscard]] const Key& at(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  // Where a refusal about this key points: "run.toml:12 batch.global", or the name alone for a default.
  [[nodiscard]] std::string where(std::string_view name) const;
  // The refusal of a name that is no key.
  [[nodiscard]] Refusal unknown(const std::string& name, const std::string& where) const;

 private:
  void add(std::string name, Key key);

  std::vector<Section> sections_;
  std::vector<Key> keys_;
  std::map<std::string, std::string, std::less<>> former_names_;  // to the names of today
};

// The part before the last dot: "batch" of "batch.global", "" of "seed".
std::string section_of(std::string_view key);

// Reads a whole TOML text into the registry's fields. All problems at once: syntax with line and column,
// unknown keys with the nearest known one, wrong types, values out of range, keys given twice, in the order
// of the lines.
Expected<void> parse_toml(std::string_view text, std::string_view file_name, Registry& registry);

// KEY=VALUE of a command line, not applied yet. VALUE is TOML; texts and choices may stand without quotes.
Expected<Assignment> parse_override(std::string_view text, const Registry& registry);

// The same, applied.
Expected<void> set(Registry& registry, std::string_view text);

// The resolved config: every key in the registry's order. Read back it gives the same values, bit by bit.
std::string to_toml(const Registry& registry);

// Refuses every key whose value differs from the frozen run's and may not change on resume. Both registries
// come from the same declaration.
Expected<void> check_resume(const Registry& frozen, const Registry& wanted);

}  // namespace megalith
