#include "run/line_log.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace megalith {

Expected<LogExtent> read_lines(std::string_view text, const std::string& where, const LineReader& reader) {
  LogExtent extent;
  std::int64_t number = 0;
  while (extent.good_bytes < text.size()) {
    const std::string_view rest = text.substr(extent.good_bytes);
    const std::size_t length = rest.find('\n');
    const bool ended = length != std::string_view::npos;
    const std::string_view line = rest.substr(0, length);
    const std::uint64_t end = extent.good_bytes + line.size() + (ended ? 1 : 0);
    const Expected<void> good = reader(line, ++number, end);
    if (!good && !ended) {
      extent.torn = line;
      return extent;
    }
    if (!good) {
      Refusals refusals = good.error();
      for (Refusal& refusal : refusals) refusal.where = fmt::format("{}:{} {}", where, number, refusal.where);
      return refuse(std::move(refusals));
    }
    extent.good_bytes = end;
    extent.unended = !ended;
  }
  return extent;
}

namespace {

// Cuts before the file is opened for appending.
const std::filesystem::path& cut(const std::filesystem::path& path, const LogExtent& extent) {
  if (!extent.torn.empty() && ::truncate(path.c_str(), static_cast<off_t>(extent.good_bytes)) != 0) {
    throw WorldFailed(
        fmt::format("cutting {}: {}", path.string(), std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
  }
  return path;
}

}  // namespace

LineLog::LineLog(const std::filesystem::path& path, const LogExtent& extent)
    : file_(cut(path, extent), true) {
  if (extent.unended) file_.write("\n");
}

void LineLog::append(std::string line) {
  MEGALITH_CHECK(line.find('\n') == std::string::npos);
  line += '\n';
  file_.write(line);
}

}  // namespace megalith
