#include "app/training/energy_meter.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

namespace megalith::app {
namespace {

namespace fs = std::filesystem;

std::optional<std::uint64_t> read_counter(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Zones "intel-rapl:0" (a package), "intel-rapl:0:1" (a part of it), sorted. AMD's have these names too.
std::vector<fs::path> zone_folders(const fs::path& root) {
  std::vector<fs::path> folders;
  std::error_code failure;
  for (fs::directory_iterator entry(root, failure), end; !failure && entry != end; entry.increment(failure)) {
    if (entry->path().filename().string().starts_with("intel-rapl:")) folders.push_back(entry->path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

// Packages hold cores and graphics, and no memory; "psys" holds everything once more.
bool counts(const std::string& zone) {
  return zone.starts_with("package") || zone == "dram";
}

}  // namespace

EnergyMeter::EnergyMeter(const fs::path& root) {
  std::string names;
  std::string unreadable;
  for (const fs::path& folder : zone_folders(root)) {
    const std::string name = first_line(folder / "name");
    if (!counts(name)) continue;
    const std::optional<std::uint64_t> now = read_counter(folder / "energy_uj");
    const std::optional<std::uint64_t> range = read_counter(folder / "max_energy_range_uj");
    if (!now || !range) {
      unreadable = (folder / "energy_uj").string();
      continue;
    }
    zones_.push_back({.counter = folder / "energy_uj", .range = *range, .last = *now});
    names += (names.empty() ? "" : " + ") + name;
  }
  if (!zones_.empty()) {
    description_ = "RAPL: " + names;
  } else if (!unreadable.empty()) {
    description_ = "n/a: " + unreadable + " cannot be read; root can";
  } else {
    description_ = fmt::format("n/a: no RAPL counter in {}", root.string());
  }
}

std::optional<double> EnergyMeter::joules() {
  if (zones_.empty()) return std::nullopt;
  std::uint64_t microjoules = 0;
  bool complete = true;
  for (Zone& zone : zones_) {
    const std::optional<std::uint64_t> now = read_counter(zone.counter);
    if (!now) {
      complete = false;
      continue;
    }
    microjoules += *now >= zone.last ? *now - zone.last : *now + zone.range - zone.last;
    zone.last = *now;
  }
  if (!complete) return std::nullopt;
  return static_cast<double>(microjoules) * 1e-6;
}

}  // namespace megalith::app
