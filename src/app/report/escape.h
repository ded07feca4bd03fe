// Text of unknown origin made safe for a page.
#pragma once

#include <string>
#include <string_view>

namespace megalith::app {

// HTML text: & < > " ' become entities; control characters, bytes that are not UTF-8 and characters that
// reorder or hide text become visible as <span class="byte">\x1B</span>. Line breaks and tabs stay.
std::string escape_html(std::string_view text);

// The same text with every byte that is not part of valid UTF-8 written as the four characters \xE9; what is
// valid stays. `backslash` is written for the backslash: "\\\\" inside JSON strings.
std::string show_invalid_utf8(std::string_view text, std::string_view backslash);

}  // namespace megalith::app
