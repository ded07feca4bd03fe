// The style sheet of the report: light, dark and print, phone and desktop.
#pragma once

#include <string_view>

namespace megalith::app {

std::string_view page_style();

}  // namespace megalith::app
