// Completion scripts for shells: verbs, options, keys of a training config after --set and for KEY, and files
// wherever an argument may be one. Each stands alone: it needs no other completion package.
#pragma once

#include <string>
#include <vector>

#include "app/manual/command_tree.h"

namespace megalith::app {

std::string bash_completion(const Command& root, const std::vector<std::string>& keys);
std::string zsh_completion(const Command& root, const std::vector<std::string>& keys);

}  // namespace megalith::app
