// A config file with everything that is laid over and under it.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "config/registry.h"

namespace megalith {

// A text key that names a file of keys to be applied first: model.preset = "gpt2-124m" reads gpt2-124m.toml.
struct PresetRule {
  std::string key;                             // "model.preset"
  std::string prefix;                          // the only keys such a file may hold: "model."
  std::vector<std::filesystem::path> folders;  // searched in this order
};

// Applies, later ones winning: the preset's file, the config file, the overrides (KEY=VALUE). A preset named
// by an override lies over the config file instead, as the command line does. An empty `file` means no file.
// A file that gives every key under the prefix itself, such as a frozen config, needs no preset file. All
// problems of all of them at once.
Expected<void> load_config(Registry& registry, const std::filesystem::path& file,
                           std::span<const std::string> overrides, const PresetRule& preset);

}  // namespace megalith
