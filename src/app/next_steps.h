// What to do with a run that is there: the commands that its end and its report name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace megalith::app {

struct NextStep {
  std::string what;     // "let it talk"
  std::string command;  // as it would have to be typed in the working folder
};

// `steps_planned` 0: unknown, then training longer is left out.
std::vector<NextStep> next_steps(const std::filesystem::path& run_folder, std::int64_t steps_planned,
                                 bool has_tokenizer);

}  // namespace megalith::app
