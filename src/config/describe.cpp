#include "config/describe.h"

#include <nlohmann/json.hpp>

#include "config/nearest.h"

namespace megalith {
namespace {

// The keys `name` stands for: one, a section's, or all.
Expected<std::vector<const Key*>> chosen(const Registry& registry, std::string_view name) {
  std::vector<const Key*> keys;
  for (const Key& key : registry.keys()) {
    if (name.empty() || key.name == name || section_of(key.name) == name) keys.push_back(&key);
  }
  if (!keys.empty()) return keys;
  std::vector<std::string> names = registry.names();
  for (const Section& section : registry.sections()) names.push_back(section.name);
  return refuse({.where = shown(std::string(name)),
                 .found = "an unknown key",
                 .allowed = "a key or a section of `megalith config explain`",
                 .nearest = nearest_name(name, names)});
}

std::string type_and_unit(const Key& key) {
  return key.unit.empty() ? name_of(key.type) : fmt::format("{}, {}", name_of(key.type), key.unit);
}

std::string in_full(const Key& key) {
  std::string text = fmt::format("{}\n  {}\n\n", key.name, key.help);
  text += fmt::format("  type      {}\n", type_and_unit(key));
  text += fmt::format("  legal     {}\n", key.legal);
  text += fmt::format("  default   {}\n", key.default_value);
  if (!key.origin.empty()) text += fmt::format("  value     {} ({})\n", key.show(), key.origin);
  text += fmt::format("  resume    {}\n",
                      key.may_change_on_resume ? "may change when a run is resumed" : "frozen with the run");
  return text;
}

std::string in_brief(const Key& key) {
  std::string text = fmt::format("  {} = {}\n", key.name, key.show());
  if (key.show() != key.default_value)
    text += fmt::format("      default {}; set by {}\n", key.default_value, key.origin);
  text += fmt::format("      {}\n      {}: {}\n", key.help, type_and_unit(key), key.legal);
  return text;
}

// '|' ends a table's cell, and '<' begins a tag.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    if (c == '<') {
      out += "&lt;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Expected<std::string> explain(const Registry& registry, std::string_view name) {
  const auto keys = chosen(registry, name);
  if (!keys) return refuse(keys.error());
  if (keys->size() == 1 && keys->front()->name == name) return in_full(*keys->front());
  std::string text;
  for (const Section& section : registry.sections()) {
    bool begun = false;
    for (const Key* key : *keys) {
      if (section_of(key->name) != section.name) continue;
      if (!begun) {
        text += fmt::format("{}{}{}\n", text.empty() ? "" : "\n",
                            section.name.empty() ? "" : fmt::format("[{}] ", section.name), section.help);
      }
      begun = true;
      text += in_brief(*key);
    }
  }
  return text;
}

std::string to_markdown(const Registry& registry) {
  std::string text =
      "# Configuration keys\n\n"
      "This page is generated from the declarations in the source; a test compares the two. On the command "
      "line\n"
      "`megalith config explain` prints the same. A config is a TOML file; `--set key=value` overrides one "
      "key.\n"
      "Keys marked *frozen* may not change when a run is resumed.\n";
  for (const Section& section : registry.sections()) {
    text +=
        fmt::format("\n## {}\n\n{}\n\n",
                    section.name.empty() ? "Top level" : fmt::format("`[{}]`", section.name), section.help);
    text += "| key | type | legal values | default | resume | meaning |\n|---|---|---|---|---|---|\n";
    for (const Key& key : registry.keys()) {
      if (section_of(key.name) != section.name) continue;
      text +=
          fmt::format("| `{}` | {} | {} | `{}` | {} | {} |\n", key.name, type_and_unit(key), cell(key.legal),
                      key.default_value, key.may_change_on_resume ? "may change" : "frozen", cell(key.help));
    }
  }
  return text;
}

Expected<std::string> explain_as_json(const Registry& registry, std::string_view name) {
  const auto keys = chosen(registry, name);
  if (!keys) return refuse(keys.error());
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Key* key : *keys) {
    list.push_back({{"name", key->name},
                    {"type", name_of(key->type)},
                    {"unit", key->unit},
                    {"legal", key->legal},
                    {"default", key->default_value},
                    {"value", key->show()},
                    {"origin", key->origin.empty() ? "default" : key->origin},
                    {"may_change_on_resume", key->may_change_on_resume},
                    {"help", key->help}});
  }
  return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace megalith
