// Commands as a reader would have to type them.
#pragma once

#include <string>

namespace megalith::app {

// A path or text as one word of a shell command, in single quotes where it needs them.
std::string shell_word(const std::string& text);

// The program as it was called: "megalith" from the search path, or a path such as build/quickstart/megalith.
std::string invoked_as();

}  // namespace megalith::app
