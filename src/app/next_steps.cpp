#include "app/next_steps.h"

#include <fmt/format.h>

#include "app/shell_words.h"

namespace megalith::app {

std::vector<NextStep> next_steps(const std::filesystem::path& run_folder, std::int64_t steps_planned,
                                 bool has_tokenizer) {
  const std::string program = invoked_as();
  const std::string folder = shell_word(run_folder.string());
  const std::string config = shell_word((run_folder / "config.toml").string());
  const char* prompt = has_tokenizer ? "--prompt \"A hacker is\"" : "--prompt-ids 1,2,3";
  std::vector<NextStep> steps{{"let it talk", fmt::format("{} generate {} {}", program, folder, prompt)}};
  if (steps_planned > 0) {
    steps.push_back({"train longer", fmt::format("{} train {} --run-dir {} --set schedule.steps={}", program,
                                                 config, folder, steps_planned * 2)});
  }
  steps.push_back({"make the page about it anew", fmt::format("{} report {}", program, folder)});
  return steps;
}

}  // namespace megalith::app
