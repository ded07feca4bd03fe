#include "run/checkpoint_store.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

namespace megalith {
namespace {

constexpr std::string_view kTemporary = ".tmp-";

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The names in a folder, sorted; none when there is no such folder.
std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    names.push_back(entry->path().filename().string());
  }
  if (failure && failure != std::errc::no_such_file_or_directory) {
    throw WorldFailed(fmt::format("listing {}: {}", folder.string(), failure.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

void remove_folder(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::remove_all(folder, failure);
  if (failure) throw WorldFailed(fmt::format("removing {}: {}", folder.string(), failure.message()));
}

// Under a temporary name first: a removal that is cut short must not look like a checkpoint.
void remove_checkpoint(const std::filesystem::path& folder) {
  std::filesystem::path doomed = folder;
  doomed += fmt::format("{}{}", kTemporary, ::getpid());
  remove_folder(doomed);
  std::error_code failure;
  std::filesystem::rename(folder, doomed, failure);
  if (failure) throw WorldFailed(fmt::format("renaming {}: {}", folder.string(), failure.message()));
  remove_folder(doomed);
}

// The process id in "step-00001000.tmp-123" or "step-00001000.tmp-123-replaced"; none for other names.
std::optional<pid_t> owner_of_temporary(std::string_view name) {
  const std::size_t mark = name.find(kTemporary);
  if (mark == std::string_view::npos || !step_of_folder_name(name.substr(0, mark))) return std::nullopt;
  std::string_view owner = name.substr(mark + kTemporary.size());
  return parse_number<pid_t>(owner.substr(0, owner.find('-')));
}

// Every byte is read: a checkpoint that this returns can be relied on.
Expected<Checkpoint> open_sound(const CheckpointEntry& entry) {
  const Expected<void> sound = verify_checkpoint(entry.folder);
  if (!sound) return tl::unexpected(sound.error());
  Expected<Checkpoint> opened = Checkpoint::open(entry.folder);
  if (!opened || opened->facts().step == entry.step) return opened;
  return refuse({.where = entry.folder.string(),
                 .found = fmt::format("the checkpoint of step {}", opened->facts().step),
                 .allowed = "the step that the folder is named for",
                 .nearest = checkpoint_folder_name(opened->facts().step)});
}

}  // namespace

std::string checkpoint_folder_name(std::int64_t step) {
  return fmt::format("step-{:08}", step);
}

std::optional<std::int64_t> step_of_folder_name(std::string_view folder_name) {
  constexpr std::string_view kPrefix = "step-";
  if (!folder_name.starts_with(kPrefix)) return std::nullopt;
  const auto step = parse_number<std::int64_t>(folder_name.substr(kPrefix.size()));
  if (!step || *step < 0 || checkpoint_folder_name(*step) != folder_name) return std::nullopt;
  return step;
}

std::vector<CheckpointEntry> list_checkpoints(const std::filesystem::path& checkpoints) {
  std::vector<CheckpointEntry> entries;
  for (const std::string& name : names_in(checkpoints)) {
    std::error_code ignored;
    const auto step = step_of_folder_name(name);
    if (step && std::filesystem::is_directory(checkpoints / name, ignored)) {
      entries.push_back({*step, checkpoints / name});
    }
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return entries;
}

NewestGood newest_good_checkpoint(const std::filesystem::path& checkpoints, std::int64_t at_most) {
  NewestGood result;
  std::vector<CheckpointEntry> entries = list_checkpoints(checkpoints);
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->step > at_most) continue;
    Expected<Checkpoint> opened = open_sound(*entry);
    if (opened) {
      result.checkpoint = std::move(*opened);
      return result;
    }
    result.skipped.insert(result.skipped.end(), opened.error().begin(), opened.error().end());
  }
  return result;
}

std::vector<std::int64_t> prune_checkpoints(const std::filesystem::path& checkpoints, int keep,
                                            const std::function<bool(std::int64_t step)>& spared) {
  MEGALITH_CHECK(keep >= 1, "{}", keep);
  const std::vector<CheckpointEntry> entries = list_checkpoints(checkpoints);
  if (entries.size() <= static_cast<std::size_t>(keep)) return {};
  const NewestGood good = newest_good_checkpoint(checkpoints);
  std::vector<std::int64_t> removed;
  for (std::size_t e = 0; e + static_cast<std::size_t>(keep) < entries.size(); ++e) {
    if (good.checkpoint && good.checkpoint->folder() == entries[e].folder) continue;
    if (spared && spared(entries[e].step)) continue;
    remove_checkpoint(entries[e].folder);
    removed.push_back(entries[e].step);
  }
  return removed;
}

std::vector<std::string> remove_unfinished_checkpoints(const std::filesystem::path& checkpoints) {
  std::vector<std::string> removed;
  for (std::string& name : names_in(checkpoints)) {
    const std::optional<pid_t> owner = owner_of_temporary(name);
    if (!owner || *owner <= 0) continue;
    const bool dead = ::kill(*owner, 0) != 0 && errno == ESRCH;
    if (!dead && *owner != ::getpid()) continue;
    remove_folder(checkpoints / name);
    removed.push_back(std::move(name));
  }
  return removed;
}

}  // namespace megalith
