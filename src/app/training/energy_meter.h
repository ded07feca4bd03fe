// Joules of processors and memory, from the counters (RAPL) that Linux shows under /sys/class/powercap. They
// count the whole machine: what else runs is in them. Newer kernels let only root read them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace megalith::app {

class EnergyMeter {
 public:
  explicit EnergyMeter(const std::filesystem::path& root = "/sys/class/powercap");

  // What is counted, "RAPL: package-0 + dram", or "n/a: " and why nothing is.
  [[nodiscard]] const std::string& description() const { return description_; }
  // Joules since the last call, or since the construction; none where nothing can be read. A counter that
  // began anew is counted on; one that did so twice (after some 20 minutes at full power) counts too little.
  std::optional<double> joules();

 private:
  struct Zone {
    std::filesystem::path counter;
    std::uint64_t range = 0;  // microjoules, the largest value before the counter begins anew
    std::uint64_t last = 0;
  };
  std::vector<Zone> zones_;
  std::string description_;
};

}  // namespace megalith::app
