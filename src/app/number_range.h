// A range for a number of the command line.
#pragma once

#include <CLI/CLI.hpp>

namespace megalith::app {

// CLI::Range lets NaN pass.
CLI::Validator between(double low, double high);

}  // namespace megalith::app
