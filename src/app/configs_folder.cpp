#include "app/configs_folder.h"

#include <cstdlib>

#include "app/shell_words.h"
#include "run/run_directory.h"

namespace megalith::app {
namespace {

namespace fs = std::filesystem;

bool has_models(const fs::path& folder) {
  std::error_code error;
  return fs::is_directory(folder / "models", error);
}

// Whether the config file `file` finds the presets of `folder` beside itself.
bool lies_in(const fs::path& file, const fs::path& folder) {
  std::error_code error;
  const fs::path beside = (file.parent_path() / ".." / "models").lexically_normal();
  return !file.empty() && fs::equivalent(beside, folder / "models", error) && !error;
}

}  // namespace

fs::path configs_folder(const fs::path& config_file) {
  if (const char* named = std::getenv("MEGALITH_CONFIGS")) return named;  // NOLINT(concurrency-mt-unsafe)
  fs::path here = "configs";
  if (has_models(here) && !lies_in(config_file, here)) return here;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  fs::path installed = (program.parent_path() / MEGALITH_CONFIGS_FROM_PROGRAM).lexically_normal();
  if (has_models(installed)) return installed;
  // build/PRESET/megalith; only a folder named build is trusted to stand in a checkout.
  const fs::path build = program.parent_path().parent_path();
  fs::path checkout = build.parent_path() / "configs";
  if (build.filename() == "build" && has_models(checkout)) return checkout;
  return here;
}

Expected<void> look_for_shipped_config(const fs::path& config_file) {
  std::error_code error;
  if (config_file.empty()) return {};
  if (RunDirectory::is_run(config_file)) {
    return refuse(
        {.where = config_file.string(),
         .found = "a run directory",
         .allowed = "a config file",
         .nearest = fmt::format("{} --run-dir {}", shell_word((config_file / "config.toml").string()),
                                shell_word(config_file.string()))});
  }
  if (fs::exists(config_file, error)) return {};
  const fs::path shipped = configs_folder({}) / "runs" / config_file.filename();
  if (!fs::is_regular_file(shipped, error)) return {};
  return refuse({.where = config_file.string(),
                 .found = "no such file",
                 .allowed = "a config file",
                 .nearest = "the one that came with the program, " + shell_word(shipped.string())});
}

}  // namespace megalith::app
