// megalith.1, in roff with the man macros.
#pragma once

#include <string>

#include "app/manual/command_tree.h"

namespace megalith::app {

// Depends on nothing but its arguments: no date, so that two builds of one source give one page.
std::string manual_page(const Command& root, const std::string& version);

}  // namespace megalith::app
