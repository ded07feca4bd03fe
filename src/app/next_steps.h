// What to do with a run that is there: the commands that its end and its report name.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "train/train_config.h"

namespace megalith::app {

struct NextStep {
  std::string what;     // "let it talk"
  std::string command;  // as it would have to be typed in the working folder
};

// What --set is given for a run of twice the length: "schedule.steps=2000".
std::string twice_as_long(const RunLength& length);

// `longer` is what twice_as_long says; "": unknown, then training longer is left out.
std::vector<NextStep> next_steps(const std::filesystem::path& run_folder, const std::string& longer,
                                 bool has_tokenizer);

}  // namespace megalith::app
