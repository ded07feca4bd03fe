// Where the configs that come with the program lie.
#pragma once

#include <filesystem>

#include "core/error.h"

namespace megalith::app {

// The folder whose models/ is searched after the one beside `config_file`. MEGALITH_CONFIGS when it is set;
// else the first of these that has a models/ of its own: configs/ in the working folder, what was installed
// with this program, configs/ of the checkout it was built in. The working folder is passed over where its
// presets are the ones beside `config_file`, so that a project with presets of its own reaches the installed
// ones too. `config_file` may be empty.
std::filesystem::path configs_folder(const std::filesystem::path& config_file);

// Refuses a config file that is not there but came with the program under that name
// ("configs/runs/tiny.toml", "tiny.toml"), and says where it lies. Other missing files are left to who reads
// them. Refuses a run directory too, with the config in it.
Expected<void> look_for_shipped_config(const std::filesystem::path& config_file);

}  // namespace megalith::app
