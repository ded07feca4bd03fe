#include "run/metrics_log.h"

#include <cmath>
#include <limits>
#include <utility>

#include "run/json_fields.h"

namespace megalith {
namespace {

bool missing(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() == std::filesystem::file_type::not_found;
}

MetricsLine read_line(std::string_view text) {
  const nlohmann::json document = parse_json(text, "", 2);
  const JsonFields fields(document, "");
  MetricsLine line;
  line.step = fields.integer("step", 0, INT64_MAX);
  for (const auto& [name, value] : document.items()) {
    if (name == "step") continue;
    const bool not_finite = value.is_null();
    line.values[name] = not_finite ? std::numeric_limits<double>::quiet_NaN() : fields.number(name.c_str());
  }
  return line;
}

Expected<LogExtent> read_all(std::string_view text, const std::string& where,
                             std::vector<MetricsLine>& lines) {
  return read_lines(text, where, [&](std::string_view line, std::int64_t, std::uint64_t) -> Expected<void> {
    try {
      lines.push_back(read_line(line));
      return {};
    } catch (const BadField& bad) {
      return refuse(bad.refusal);
    }
  });
}

}  // namespace

Expected<std::vector<MetricsLine>> parse_metrics(std::string_view text, const std::string& where) {
  std::vector<MetricsLine> lines;
  const Expected<LogExtent> extent = read_all(text, where, lines);
  if (!extent) return tl::unexpected(extent.error());
  return lines;
}

Expected<std::vector<MetricsLine>> read_metrics(const std::filesystem::path& path) {
  if (missing(path)) return std::vector<MetricsLine>{};
  const Expected<MappedFile> file = MappedFile::open(path);
  if (!file) return tl::unexpected(file.error());
  return parse_metrics(file->text(), path.string());
}

Expected<MetricsLog> MetricsLog::open(const std::filesystem::path& path) {
  LogExtent extent;
  if (!missing(path)) {
    const Expected<MappedFile> file = MappedFile::open(path);
    if (!file) return tl::unexpected(file.error());
    std::vector<MetricsLine> lines;
    Expected<LogExtent> found = read_all(file->text(), path.string(), lines);
    if (!found) return tl::unexpected(std::move(found).error());
    extent = std::move(*found);
  }
  return MetricsLog(LineLog(path, extent));
}

void MetricsLog::append(std::int64_t step, std::span<const std::pair<std::string_view, double>> values) {
  nlohmann::ordered_json line = {{"step", step}};
  for (const auto& [name, value] : values) {
    const std::string key(name);
    MEGALITH_CHECK(!line.contains(key), "{} twice", key);
    line[key] = std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
  }
  log_.append(dump_json(line));
}

}  // namespace megalith
