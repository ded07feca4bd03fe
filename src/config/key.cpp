#include "config/key.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "config/nearest.h"

namespace megalith {
namespace {

template <class Rule>
Key common(KeyType type, const Rule& rule) {
  Key key;
  key.type = type;
  key.help = rule.help;
  key.may_change_on_resume = rule.may_change_on_resume;
  return key;
}

Refusal refusal(const Value& value, const std::string& legal, std::string nearest = {}) {
  return {.where = {}, .found = describe(value), .allowed = legal, .nearest = std::move(nearest)};
}

std::string legal_integers(const IntegerRule& rule) {
  std::string text = rule.max == INT64_MAX  ? fmt::format("{} or more", rule.min)
                     : rule.min == rule.max ? fmt::format("only {}", rule.min)
                                            : fmt::format("{} to {}", rule.min, rule.max);
  if (rule.power_of_two) text = "a power of two, " + text;
  if (rule.zero != nullptr) text += fmt::format(", or 0 ({})", rule.zero);
  return text;
}

bool is_legal(const IntegerRule& rule, std::int64_t value) {
  if (value == 0 && rule.zero != nullptr) return true;
  return value >= rule.min && value <= rule.max &&
         (!rule.power_of_two || std::has_single_bit(static_cast<std::uint64_t>(value)));
}

std::string nearest_integer(const IntegerRule& rule, std::int64_t value) {
  if (value <= 0 && rule.zero != nullptr) return "0";
  std::int64_t near = std::min(std::max(value, rule.min), rule.max);
  if (!rule.power_of_two) return std::to_string(near);
  const auto below = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(near)));
  if (is_legal(rule, below) && below <= rule.max / 2 && is_legal(rule, 2 * below) && below != near) {
    return fmt::format("{} or {}", below, 2 * below);
  }
  return std::to_string(is_legal(rule, below) ? below : rule.min);
}

std::string legal_reals(const RealRule& rule) {
  std::string text = fmt::format("{} {} to {}{}", rule.min_excluded ? "above" : "from", rule.min,
                                 rule.max_excluded ? "below " : "", rule.max);
  if (rule.zero != nullptr) text += fmt::format(", or 0 ({})", rule.zero);
  return text;
}

bool is_legal(const RealRule& rule, double value) {
  if (value == 0 && rule.zero != nullptr) return true;
  if (!std::isfinite(value)) return false;
  return (rule.min_excluded ? value > rule.min : value >= rule.min) &&
         (rule.max_excluded ? value < rule.max : value <= rule.max);
}

// Empty where the nearest bound is itself excluded: there is no nearest number then.
std::string nearest_real(const RealRule& rule, double value) {
  if (std::isnan(value)) return {};
  const bool low = value <= rule.min;
  if (low && rule.zero != nullptr) return "0.0";
  if (low ? rule.min_excluded : rule.max_excluded) return {};
  return toml_real(low ? rule.min : rule.max);
}

std::string legal_texts(const TextRule& rule) {
  std::string text = fmt::format("text of 1 to {} bytes", rule.max_bytes);
  if (rule.empty != nullptr) text += fmt::format(", or \"\" ({})", rule.empty);
  return text;
}

bool is_legal(const TextRule& rule, const std::string& text) {
  if (text.empty()) return rule.empty != nullptr;
  return text.size() <= rule.max_bytes && text.find('\0') == std::string::npos;
}

// "8" and "true" in quotes: the same without them.
std::string quoted_number(const Value& value) {
  const auto* text = std::get_if<std::string>(&value.data);
  if (text == nullptr) return {};
  double number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  const bool is_number = error == std::errc() && end == text->data() + text->size();
  return is_number ? *text + " without quotes" : std::string();
}
std::string quoted_boolean(const Value& value) {
  const auto* text = std::get_if<std::string>(&value.data);
  return text != nullptr && (*text == "true" || *text == "false") ? *text + " without quotes" : std::string();
}

}  // namespace

const char* name_of(KeyType type) {
  switch (type) {
    case KeyType::integer:
      return "integer";
    case KeyType::real:
      return "number";
    case KeyType::text:
      return "text";
    case KeyType::choice:
      return "choice";
    case KeyType::boolean:
      return "boolean";
    case KeyType::text_list:
      return "list of texts";
  }
  return "";
}

Key integer_key(IntegerRule rule, std::function<std::int64_t()> get, std::function<void(std::int64_t)> set) {
  Key key = common(KeyType::integer, rule);
  key.unit = rule.unit;
  key.legal = legal_integers(rule);
  key.show = [get = std::move(get)] { return std::to_string(get()); };
  key.default_value = key.show();
  key.assign = [rule, legal = key.legal, set = std::move(set)](const Value& value) -> std::optional<Refusal> {
    const auto* integer = std::get_if<std::int64_t>(&value.data);
    if (integer == nullptr) {
      std::string nearest = quoted_number(value);
      const auto* real = std::get_if<double>(&value.data);
      if (real != nullptr && std::abs(*real) < 0x1p62) {
        const auto rounded = static_cast<std::int64_t>(std::llround(*real));
        nearest = is_legal(rule, rounded) ? std::to_string(rounded) : nearest_integer(rule, rounded);
      }
      return refusal(value, "an integer, " + legal, nearest);
    }
    if (!is_legal(rule, *integer)) return refusal(value, legal, nearest_integer(rule, *integer));
    set(*integer);
    return std::nullopt;
  };
  return key;
}

Key real_key(RealRule rule, double& field) {
  Key key = common(KeyType::real, rule);
  key.unit = rule.unit;
  key.legal = legal_reals(rule);
  key.show = [&field] { return toml_real(field); };
  key.default_value = key.show();
  key.assign = [rule, legal = key.legal, &field](const Value& value) -> std::optional<Refusal> {
    double number = 0;
    if (const auto* real = std::get_if<double>(&value.data)) {
      number = *real;
    } else if (const auto* integer = std::get_if<std::int64_t>(&value.data)) {
      number = static_cast<double>(*integer);
    } else {
      return refusal(value, "a number " + legal, quoted_number(value));
    }
    if (!is_legal(rule, number)) return refusal(value, legal, nearest_real(rule, number));
    field = number == 0 ? 0 : number;  // -0 is not another value
    return std::nullopt;
  };
  return key;
}

Key text_key(TextRule rule, std::string& field) {
  Key key = common(KeyType::text, rule);
  key.unit = rule.unit;
  key.legal = legal_texts(rule);
  key.show = [&field] { return toml_text(field); };
  key.default_value = key.show();
  key.assign = [rule, legal = key.legal, &field](const Value& value) -> std::optional<Refusal> {
    const auto* text = std::get_if<std::string>(&value.data);
    if (text == nullptr) return refusal(value, legal + ", in quotes");
    if (!is_legal(rule, *text)) return refusal(value, legal);
    field = *text;
    return std::nullopt;
  };
  return key;
}

Key boolean_key(BooleanRule rule, bool& field) {
  Key key = common(KeyType::boolean, rule);
  key.legal = "true or false";
  key.show = [&field] { return std::string(field ? "true" : "false"); };
  key.default_value = key.show();
  key.assign = [legal = key.legal, &field](const Value& value) -> std::optional<Refusal> {
    if (const auto* boolean = std::get_if<bool>(&value.data)) {
      field = *boolean;
      return std::nullopt;
    }
    std::string nearest = quoted_boolean(value);
    const auto* integer = std::get_if<std::int64_t>(&value.data);
    if (integer != nullptr && (*integer == 0 || *integer == 1)) nearest = *integer == 1 ? "true" : "false";
    return refusal(value, legal, nearest);
  };
  return key;
}

Key text_list_key(TextRule rule, std::vector<std::string>& field) {
  Key key = common(KeyType::text_list, rule);
  key.unit = rule.unit;
  key.legal = "a list of texts, each: " + legal_texts(rule);
  key.show = [&field] {
    std::string text;
    for (const std::string& element : field) text += (text.empty() ? "" : ", ") + toml_text(element);
    return "[" + text + "]";
  };
  key.default_value = key.show();
  key.assign = [rule, legal = key.legal, &field](const Value& value) -> std::optional<Refusal> {
    const auto* list = std::get_if<std::vector<Value>>(&value.data);
    if (list == nullptr) {
      const auto* text = std::get_if<std::string>(&value.data);
      return refusal(value, legal, text != nullptr ? fmt::format("[{}]", toml_text(shown(*text))) : "");
    }
    std::vector<std::string> texts;
    for (const Value& element : *list) {
      const auto* text = std::get_if<std::string>(&element.data);
      if (text == nullptr || !is_legal(rule, *text)) return refusal(element, legal);
      texts.push_back(*text);
    }
    field = std::move(texts);
    return std::nullopt;
  };
  return key;
}

Key choice_key(ChoiceRule rule, std::vector<std::string> names, std::function<std::size_t()> get,
               std::function<void(std::size_t)> set) {
  Key key = common(KeyType::choice, rule);
  for (const std::string& name : names) key.legal += (key.legal.empty() ? "" : ", ") + toml_text(name);
  if (names.size() == 1) key.legal = "only " + key.legal;
  key.show = [names, get = std::move(get)] { return toml_text(names[get()]); };
  key.default_value = key.show();
  key.assign = [legal = key.legal, names,
                set = std::move(set)](const Value& value) -> std::optional<Refusal> {
    const auto* text = std::get_if<std::string>(&value.data);
    if (text == nullptr) return refusal(value, legal);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] != *text) continue;
      set(i);
      return std::nullopt;
    }
    const std::string nearest = names.size() == 1 ? names[0] : nearest_name(*text, names);
    return refusal(value, legal, nearest.empty() ? "" : toml_text(nearest));
  };
  return key;
}

}  // namespace megalith
