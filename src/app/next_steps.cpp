#include "app/next_steps.h"

#include <fmt/format.h>

#include "app/shell_words.h"

namespace megalith::app {

std::string twice_as_long(const RunLength& length) {
  if (length.tokens > 0) return fmt::format("schedule.tokens={}", length.tokens * 2);
  if (length.epochs > 0) return fmt::format("schedule.epochs={}", length.epochs * 2);
  return fmt::format("schedule.steps={}", length.steps * 2);
}

std::vector<NextStep> next_steps(const std::filesystem::path& run_folder, const std::string& longer,
                                 bool has_tokenizer) {
  const std::string program = invoked_as();
  const std::string folder = shell_word(run_folder.string());
  const std::string config = shell_word((run_folder / "config.toml").string());
  const char* prompt = has_tokenizer ? "--prompt \"A hacker is\"" : "--prompt-ids 1,2,3";
  std::vector<NextStep> steps{{"let it talk", fmt::format("{} generate {} {}", program, folder, prompt)}};
  if (!longer.empty()) {
    steps.push_back(
        {"train longer", fmt::format("{} train {} --run-dir {} --set {}", program, config, folder, longer)});
  }
  steps.push_back({"make the page about it anew", fmt::format("{} report {}", program, folder)});
  return steps;
}

}  // namespace megalith::app
