#include "run/event_log.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "events.out.tfevents.";

struct EventFile {
  std::int64_t number = 0;
  fs::path path;
};

// Ours, oldest first. Other names belong to somebody else.
std::vector<EventFile> event_files(const fs::path& folder) {
  std::vector<EventFile> files;
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    std::int64_t number = 0;
    const char* const last = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + kPrefix.size(), last, number);
    if (parsed.ec != std::errc{} || parsed.ptr != last || number < 1) continue;
    files.push_back({number, entry->path()});
  }
  if (failure && failure != std::errc::no_such_file_or_directory) {
    throw WorldFailed(fmt::format("listing {}: {}", folder.string(), failure.message()));
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  return files;
}

// Bytes of the records up to the first that is torn or of a later step.
std::size_t bytes_until(std::string_view text, std::int64_t step) {
  std::size_t bytes = 0;
  while (const std::optional<EventRecord> record = first_record(text.substr(bytes))) {
    if (record->step > step) break;
    bytes += record->bytes;
  }
  return bytes;
}

void cut(const fs::path& path, std::int64_t step) {
  std::size_t size = 0;
  std::size_t kept = 0;
  {
    const MappedFile file = value_or_throw(MappedFile::open(path));
    size = file.text().size();
    kept = bytes_until(file.text(), step);
  }
  if (kept == size) return;
  if (::truncate(path.c_str(), static_cast<off_t>(kept)) != 0) {
    throw WorldFailed(
        fmt::format("cutting {}: {}", path.string(), std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
  }
}

}  // namespace

void EventLog::resume_after(std::int64_t step) {
  MEGALITH_CHECK(!file_, "after the first event");
  std::vector<EventFile> files = event_files(folder_);
  std::reverse(files.begin(), files.end());
  for (const EventFile& file : files) cut(file.path, step);
  resumed_after_ = step;
}

void EventLog::begin_file(EventTime time) {
  if (!resumed_after_) resume_after(-1);
  std::error_code failure;
  fs::create_directories(folder_, failure);
  if (failure) throw WorldFailed(fmt::format("creating {}: {}", folder_.string(), failure.message()));
  const std::vector<EventFile> files = event_files(folder_);
  const std::int64_t number = files.empty() ? 1 : files.back().number + 1;
  file_.emplace(folder_ / fmt::format("{}{:08}", kPrefix, number));
  std::string head = framed(file_version_event(time.wall));
  if (*resumed_after_ >= 0) {
    head += framed(session_start_event({.wall = time.wall, .step = *resumed_after_ + 1}));
  }
  file_->write(head);
}

void EventLog::append(EventTime time, const std::string& event) {
  if (!file_) begin_file(time);
  file_->write(framed(event));
}

void EventLog::add_scalars(EventTime time, std::span<const NamedValue> values) {
  append(time, scalars_event(time, values));
}

void EventLog::add_text(EventTime time, std::string_view tag, std::string_view markdown) {
  append(time, text_event(time, tag, markdown));
}

}  // namespace megalith
