// What this binary is.
#pragma once

#include <string>

namespace megalith::app {

struct BuildFacts {
  std::string version;     // "0.1.0"
  std::string commit;      // abbreviated, "-dirty" with local changes; "unknown" outside a git checkout
  std::string compiler;    // "GCC 12.2.0"
  std::string build_type;  // "Release"
  std::string sanitizers;  // "address,undefined", or empty
};

BuildFacts build_facts();

// "megalith 0.1.0 (commit 1234abcd, GCC 12.2.0, Release)"
std::string version_line();

}  // namespace megalith::app
