#include "config/load.h"

#include <algorithm>
#include <set>

#include "config/nearest.h"
#include "config/toml_limits.h"
#include "config/toml_reader.h"
#include "core/file.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

void append(Refusals& all, Refusals more) {
  for (Refusal& refusal : more) all.push_back(std::move(refusal));
}

std::vector<std::string> preset_names(const std::vector<fs::path>& folders) {
  std::set<std::string> names;
  for (const fs::path& folder : folders) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      if (entry->path().extension() == ".toml") names.insert(entry->path().stem().string());
    }
  }
  return {names.begin(), names.end()};
}

Refusal no_such_preset(const PresetRule& rule, const std::string& name, const std::string& where) {
  const std::vector<std::string> names = preset_names(rule.folders);
  std::string allowed;
  for (const std::string& known : names) allowed += (allowed.empty() ? "" : ", ") + known;
  if (allowed.empty()) {
    allowed = "the name of a file in";
    for (const fs::path& folder : rule.folders) allowed += ' ' + shown(folder.string(), 200);
  }
  return {.where = where + ' ' + rule.key,
          .found = '"' + shown(name) + '"',
          .allowed = allowed,
          .nearest = nearest_name(name, names)};
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 100 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '-' || c == '_';
         });
}

// The keys of the preset's file.
TomlDocument read_preset(const PresetRule& rule, const Assignment& wanted) {
  TomlDocument document;
  const auto* name = std::get_if<std::string>(&wanted.value.data);
  if (name == nullptr || name->empty()) return document;  // the key itself refuses what is no text
  for (const fs::path& folder : rule.folders) {
    const fs::path path = folder / (*name + ".toml");
    std::error_code error;
    if (!is_plain_name(*name) || !fs::exists(path, error)) continue;
    auto text = read_file(path, kLargestConfigBytes);
    if (!text) {
      document.refusals = std::move(text).error();
      return document;
    }
    document = read_toml(*text, path.string());
    for (const Assignment& assignment : document.assignments) {
      if (assignment.key.starts_with(rule.prefix) && assignment.key != rule.key) continue;
      document.refusals.push_back({.where = assignment.where + ' ' + shown(assignment.key),
                                   .found = "a key that a preset may not hold",
                                   .allowed = fmt::format("{}* without {}", rule.prefix, rule.key),
                                   .nearest = {}});
    }
    return document;
  }
  document.refusals.push_back(no_such_preset(rule, *name, wanted.where));
  return document;
}

bool gives_every_key(const Registry& registry, const std::vector<Assignment>& assignments,
                     const PresetRule& rule) {
  return std::all_of(registry.keys().begin(), registry.keys().end(), [&](const Key& key) {
    if (!key.name.starts_with(rule.prefix) || key.name == rule.key) return true;
    return std::any_of(assignments.begin(), assignments.end(),
                       [&](const Assignment& a) { return a.key == key.name; });
  });
}

}  // namespace

Expected<void> load_config(Registry& registry, const fs::path& file, std::span<const std::string> overrides,
                           const PresetRule& preset) {
  Refusals refusals;
  TomlDocument document;
  if (!file.empty()) {
    auto text = read_file(file, kLargestConfigBytes);
    if (!text) return refuse(std::move(text).error());
    document = read_toml(*text, file.string());
  }
  std::vector<Assignment> from_command_line;
  Refusals of_command_line;
  for (const std::string& text : overrides) {
    if (auto parsed = parse_override(text, registry)) {
      from_command_line.push_back(std::move(*parsed));
    } else {
      append(of_command_line, std::move(parsed).error());
    }
  }
  const Assignment* wanted = nullptr;  // the last one wins
  bool overridden = false;
  for (const Assignment& assignment : document.assignments) {
    if (assignment.key == preset.key) wanted = &assignment;
  }
  for (const Assignment& assignment : from_command_line) {
    if (assignment.key != preset.key) continue;
    wanted = &assignment;
    overridden = true;
  }
  TomlDocument model;
  if (wanted != nullptr && (overridden || !gives_every_key(registry, document.assignments, preset))) {
    model = read_preset(preset, *wanted);
    append(refusals, std::move(model.refusals));
    if (!refusals.empty()) model.assignments.clear();
  }
  // A preset named on the command line is part of it, so it lies over the file; one named in the file lies
  // under it.
  if (!overridden) append(refusals, registry.apply(model.assignments));
  append(refusals, std::move(document.refusals));
  append(refusals, registry.apply(document.assignments));
  if (overridden) append(refusals, registry.apply(model.assignments));
  append(refusals, std::move(of_command_line));
  append(refusals, registry.apply(from_command_line));
  if (!refusals.empty()) return refuse(std::move(refusals));
  return {};
}

}  // namespace megalith
