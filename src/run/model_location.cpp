#include "run/model_location.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "run/best_checkpoint.h"
#include "run/checkpoint_store.h"
#include "run/run_directory.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAllowed =
    "a run directory, RUN@STEP, RUN@best, a checkpoint folder, or a Hugging Face folder";

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool holds(const fs::path& folder, const char* name) {
  std::error_code ignored;
  return fs::exists(folder / name, ignored);
}

// "1000, 2000, ..., 9000": the newest eight steps, ascending.
std::string steps_of(const fs::path& run) {
  const std::vector<CheckpointEntry> entries = list_checkpoints(run / "checkpoints");
  const std::size_t first = entries.size() > 8 ? entries.size() - 8 : 0;
  std::string text = first > 0 ? "... " : "";
  for (std::size_t e = first; e < entries.size(); ++e) {
    text += fmt::format("{}{}", e == first ? "" : ", ", entries[e].step);
  }
  return text;
}

Refusal refusal(const std::string& argument, std::string found, std::string nearest) {
  return {.where = argument, .found = std::move(found), .allowed = kAllowed, .nearest = std::move(nearest)};
}

Expected<ModelLocation> newest_of(const fs::path& run, const std::string& argument) {
  NewestGood newest = newest_good_checkpoint(run / "checkpoints");
  if (newest.checkpoint) return ModelLocation{run, std::move(*newest.checkpoint), std::move(newest.skipped)};
  Refusals refusals = std::move(newest.skipped);
  const bool any = !refusals.empty();
  refusals.push_back(
      refusal(argument, any ? "a run without a good checkpoint" : "a run without a checkpoint yet",
              any ? "" : fmt::format("megalith train, until the first checkpoint is written")));
  return refuse(std::move(refusals));
}

Expected<ModelLocation> at_folder(const fs::path& folder, const fs::path& run) {
  const Expected<void> sound = verify_checkpoint(folder);
  if (!sound) return tl::unexpected(sound.error());
  Expected<Checkpoint> checkpoint = Checkpoint::open(folder);
  if (!checkpoint) return tl::unexpected(std::move(checkpoint).error());
  return ModelLocation{run, std::move(*checkpoint), {}};
}

Expected<ModelLocation> best_of(const fs::path& run, const std::string& argument) {
  BestGood best = best_good_checkpoint(run / "checkpoints");
  if (best.checkpoint) return ModelLocation{run, std::move(*best.checkpoint), std::move(best.skipped)};
  Refusals refusals = std::move(best.skipped);
  refusals.push_back(refusal(argument, "no checkpoint of a step that was validated",
                             fmt::format("{}, or a run with checkpoint.keep_best = true", run.string())));
  return refuse(std::move(refusals));
}

Expected<ModelLocation> at_step(const fs::path& run, std::string_view step_text,
                                const std::string& argument) {
  std::int64_t step = -1;
  const auto [end, failure] = std::from_chars(step_text.data(), step_text.data() + step_text.size(), step);
  const bool number = failure == std::errc{} && end == step_text.data() + step_text.size() && step >= 0;
  const fs::path folder = run / "checkpoints" / checkpoint_folder_name(std::max<std::int64_t>(step, 0));
  if (!number || !is_folder(folder)) {
    const std::string steps = steps_of(run);
    return refuse(refusal(argument,
                          number ? fmt::format("no checkpoint of step {}", step) : "a step that is no number",
                          steps.empty() ? "" : fmt::format("one of the steps {}", steps)));
  }
  Expected<ModelLocation> location = at_folder(folder, run);
  if (location) return location;
  Refusals refusals = location.error();
  const NewestGood before = newest_good_checkpoint(run / "checkpoints", step - 1);
  if (before.checkpoint) {
    refusals.push_back(refusal(argument, "a damaged checkpoint",
                               fmt::format("{}@{}", run.string(), before.checkpoint->facts().step)));
  }
  return refuse(std::move(refusals));
}

// The run that a checkpoint folder lies in, RUN/checkpoints/step-...; empty when it lies elsewhere.
fs::path run_of(const fs::path& folder) {
  std::error_code failure;
  const fs::path full = fs::weakly_canonical(folder, failure);
  const fs::path run = full.parent_path().parent_path();
  return !failure && full.parent_path().filename() == "checkpoints" && RunDirectory::is_run(run) ? run
                                                                                                 : fs::path{};
}

// Something that is no model, though it exists: say what it looks like and what to give instead.
Refusal explain(const fs::path& path, const std::string& argument) {
  const std::string name = path.filename().string();
  if (is_folder(path)) {
    if (name.find(".tmp-") != std::string::npos) {
      return refusal(argument, "a checkpoint whose writing was cut short", run_of(path).string());
    }
    if (step_of_folder_name(name))
      return refusal(argument, "a checkpoint folder without manifest.json", run_of(path).string());
    if (name == "checkpoints" && RunDirectory::is_run(fs::absolute(path).parent_path())) {
      return refusal(argument, "the checkpoints of a run", fs::absolute(path).parent_path().string());
    }
    return refusal(argument, "a folder without run.json or manifest.json", "");
  }
  const std::string extension = path.extension().string();
  if (extension == ".pt" || extension == ".pth" || extension == ".bin" || extension == ".ckpt" ||
      extension == ".pkl") {
    return refusal(argument,
                   extension + ", a kind of file that can hold a pickle: loading one can run anything in it",
                   "the same model as a checkpoint folder");
  }
  const fs::path folder = fs::absolute(path).parent_path();
  const bool inside = holds(folder, "manifest.json") || RunDirectory::is_run(folder);
  return refusal(argument, "a file", inside ? folder.string() : "");
}

// Nothing of that name: perhaps a run was meant that lies in runs/.
Refusal missing(const std::string& argument) {
  if (RunDirectory::is_run(fs::path("runs") / argument))
    return refusal(argument, "nothing", "runs/" + argument);
  std::vector<std::string> runs;
  std::error_code failure;
  for (fs::directory_iterator entry("runs", failure), end; !failure && entry != end;
       entry.increment(failure)) {
    if (RunDirectory::is_run(entry->path())) runs.push_back(entry->path().string());
  }
  std::sort(runs.begin(), runs.end());
  std::string nearest;
  for (std::size_t r = 0; r < std::min<std::size_t>(runs.size(), 5); ++r)
    nearest += (r == 0 ? "" : ", ") + runs[r];
  return refusal(argument, "nothing", nearest);
}

}  // namespace

Expected<ModelLocation> resolve_model(const std::string& argument) {
  const fs::path path(argument);
  if (is_folder(path)) {
    if (path.filename().string().find(".tmp-") != std::string::npos) return refuse(explain(path, argument));
    if (holds(path, "manifest.json")) return at_folder(path, run_of(path));
    if (RunDirectory::is_run(path)) return newest_of(path, argument);
    return refuse(explain(path, argument));
  }
  std::error_code ignored;
  if (!argument.empty() && fs::exists(path, ignored)) return refuse(explain(path, argument));
  const std::size_t at = argument.rfind('@');
  if (at == std::string::npos) return refuse(missing(argument));
  const std::string run = argument.substr(0, at);
  if (run.empty() || !RunDirectory::is_run(run)) return refuse(missing(run));
  if (argument.substr(at + 1) == "best") return best_of(run, argument);
  return at_step(run, std::string_view(argument).substr(at + 1), argument);
}

}  // namespace megalith
