// Numbers as people read them.
#pragma once

#include <string>

namespace megalith::app {

// Three or four significant digits, with k, M, G, T for thousands and more: 0.0132, 2.41, 1,234, 12.3M.
// Not-a-number and infinities read "n/a".
std::string compact(double value);

// With a fixed number of decimals, or "n/a".
std::string fixed(double value, int decimals);

// "7 s", "3 min 5 s", "2 h 4 min"
std::string duration_text(double seconds);

}  // namespace megalith::app
