#include "config/registry.h"

#include <algorithm>

#include "config/nearest.h"
#include "config/toml_reader.h"

namespace megalith {
namespace {

constexpr std::size_t kMostProblems = 50;  // a foreign file is one problem, not ten thousand

std::string joined(const std::string& where, const std::string& key) {
  return where.empty() ? shown(key) : where + " " + shown(key);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_table(const Value& value) {
  const auto* foreign = std::get_if<ForeignValue>(&value.data);
  return foreign != nullptr && foreign->what == "a table";
}

bool takes_bare_text(const Key& key) {
  return key.type == KeyType::text || key.type == KeyType::choice;
}

}  // namespace

std::string section_of(std::string_view key) {
  const std::size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? std::string() : std::string(key.substr(0, dot));
}

void Registry::section(std::string name, std::string help) {
  sections_.push_back({.name = std::move(name), .help = std::move(help)});
}

void Registry::add(std::string name, Key key) {
  MEGALITH_CHECK(find(name) == nullptr, "{} is declared twice", name);
  const std::string section = section_of(name);
  const auto home =
      std::find_if(sections_.begin(), sections_.end(), [&](const Section& s) { return s.name == section; });
  MEGALITH_CHECK(home != sections_.end(), "{} has no section", name);
  key.name = std::move(name);
  // Behind the last key of the same or an earlier section.
  const auto position = [&](const std::string& wanted) {
    return std::find_if(sections_.begin(), sections_.end(),
                        [&](const Section& s) { return s.name == wanted; });
  };
  const auto place = std::find_if(keys_.begin(), keys_.end(),
                                  [&](const Key& other) { return position(section_of(other.name)) > home; });
  keys_.insert(place, std::move(key));
}

const Key* Registry::find(std::string_view name) const {
  const auto former = former_names_.find(name);
  if (former != former_names_.end()) name = former->second;
  const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.name == name; });
  return key == keys_.end() ? nullptr : &*key;
}

void Registry::former_name(std::string former, std::string name) {
  MEGALITH_CHECK(find(name) != nullptr && find(former) == nullptr, "{} was never {}", name, former);
  former_names_.emplace(std::move(former), std::move(name));
}

const Key& Registry::at(std::string_view name) const {
  const Key* key = find(name);
  MEGALITH_CHECK(key != nullptr, "no key {}", name);
  return *key;
}

std::vector<std::string> Registry::names() const {
  std::vector<std::string> names;
  names.reserve(keys_.size());
  for (const Key& key : keys_) names.push_back(key.name);
  return names;
}

std::string Registry::where(std::string_view name) const {
  return joined(at(name).origin, std::string(name));
}

Refusal Registry::unknown(const std::string& name, const std::string& where) const {
  return {.where = joined(where, name),
          .found = "an unknown key",
          .allowed = "the keys that `megalith config explain` lists",
          .nearest = nearest_name(name, names())};
}

Refusals Registry::apply(const std::vector<Assignment>& assignments) {
  Refusals refusals;
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    const Assignment& assignment = assignments[i];
    if (refusals.size() >= kMostProblems) {
      refusals.push_back(
          {.where = assignment.where,
           .found = fmt::format("more problems among the {} values that follow", assignments.size() - i),
           .allowed = {},
           .nearest = {}});
      return refusals;
    }
    const auto former = former_names_.find(assignment.key);
    const std::string& name = former == former_names_.end() ? assignment.key : former->second;
    const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.name == name; });
    const bool both_names =
        former != former_names_.end() && std::any_of(assignments.begin(), assignments.end(),
                                                     [&](const Assignment& a) { return a.key == name; });
    if (both_names) {
      refusals.push_back({.where = joined(assignment.where, assignment.key),
                          .found = "the former name of a key that is given too",
                          .allowed = name,
                          .nearest = "leave this one out"});
    } else if (key == keys_.end()) {
      const bool empty_section = is_table(assignment.value) &&
                                 std::any_of(sections_.begin(), sections_.end(),
                                             [&](const Section& s) { return s.name == assignment.key; });
      if (!empty_section) refusals.push_back(unknown(assignment.key, assignment.where));
    } else if (auto refusal = key->assign(assignment.value)) {
      refusal->where = joined(assignment.where, key->name);
      refusals.push_back(std::move(*refusal));
    } else {
      key->origin = assignment.where;
    }
  }
  return refusals;
}

Expected<void> parse_toml(std::string_view text, std::string_view file_name, Registry& registry) {
  TomlDocument document = read_toml(text, file_name);
  Refusals refusals = std::move(document.refusals);
  for (Refusal& refusal : registry.apply(document.assignments)) refusals.push_back(std::move(refusal));
  if (!refusals.empty()) return refuse(std::move(refusals));
  return {};
}

Expected<Assignment> parse_override(std::string_view text, const Registry& registry) {
  const std::string where = kOverrideOrigin;
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return refuse(
        {.where = where,
         .found = fmt::format("\"{}\"", shown(std::string(text))),
         .allowed = "KEY=VALUE",
         .nearest = registry.find(trimmed(text)) != nullptr ? fmt::format("{}=VALUE", trimmed(text)) : ""});
  }
  const std::string name(trimmed(text.substr(0, equals)));
  const std::string_view value = trimmed(text.substr(equals + 1));
  const Key* key = registry.find(name);
  if (key == nullptr) return refuse(registry.unknown(name, where));
  const bool quoted = !value.empty() && (value.front() == '"' || value.front() == '\'');
  if (takes_bare_text(*key) && !quoted)
    return Assignment{.key = name, .value = {std::string(value)}, .where = where};
  auto parsed = read_toml_value(value, joined(where, name));
  if (!parsed) {
    parsed.error().front().allowed = key->legal;
    return refuse(std::move(parsed).error());
  }
  return Assignment{.key = name, .value = std::move(*parsed), .where = where};
}

Expected<void> set(Registry& registry, std::string_view text) {
  auto assignment = parse_override(text, registry);
  if (!assignment) return refuse(std::move(assignment).error());
  Refusals refusals = registry.apply({std::move(*assignment)});
  if (!refusals.empty()) return refuse(std::move(refusals));
  return {};
}

std::string to_toml(const Registry& registry) {
  std::string text;
  std::string section;
  // Keys without a section come first: TOML would put them into the section above.
  for (const bool in_section : {false, true}) {
    for (const Key& key : registry.keys()) {
      const std::string home = section_of(key.name);
      if (home.empty() == in_section) continue;
      if (home != section) {
        section = home;
        text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section);
      }
      text +=
          fmt::format("{} = {}\n", home.empty() ? key.name : key.name.substr(home.size() + 1), key.show());
    }
  }
  return text;
}

Expected<void> check_resume(const Registry& frozen, const Registry& wanted) {
  Refusals refusals;
  for (const Key& key : wanted.keys()) {
    const Key& before = frozen.at(key.name);
    if (key.may_change_on_resume || key.show() == before.show()) continue;
    refusals.push_back(
        {.where = wanted.where(key.name),
         .found = key.show(),
         .allowed = fmt::format("{}, as the run began: this key is frozen with the run", before.show()),
         .nearest = "the old value, or a new run directory"});
  }
  if (!refusals.empty()) return refuse(std::move(refusals));
  return {};
}

}  // namespace megalith
