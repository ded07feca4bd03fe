// What every communicator must do, whoever carries it: bodies to be run by all ranks of a world of any size.
#pragma once

#include <span>

#include "comm/communicator.h"

namespace megalith {

struct ConformanceCase {
  const char* name;  // a test's name: a sentence
  // Throws std::logic_error when something arrives that should not.
  void (*body)(Communicator& world);
};

std::span<const ConformanceCase> conformance_cases();

}  // namespace megalith
