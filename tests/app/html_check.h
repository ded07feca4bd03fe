// A strict reader of the pages we write: not a browser, which would forgive.
#pragma once

#include <string>
#include <string_view>

namespace megalith::app {

// Empty when tags balance, attributes are quoted, and text holds no bare < > &; else what is wrong and where.
std::string html_problem(std::string_view html);

// The page without what a reader reads: tags with their attributes, and the style sheet.
std::string markup_of(std::string_view html);

}  // namespace megalith::app
