// Joules from counters, in a folder that looks like /sys/class/powercap.
#include "app/training/energy_meter.h"

#include <gtest/gtest.h>

#include "app/run_folder.h"

namespace megalith::app {
namespace {

void zone(const RunFolder& root, const std::string& folder, const std::string& name, std::uint64_t energy) {
  root.write(folder + "/name", name + "\n");
  root.write(folder + "/energy_uj", std::to_string(energy) + "\n");
  root.write(folder + "/max_energy_range_uj", "10000000\n");
}

TEST(EnergyMeter, AddsPackagesAndMemoryAndNothingTwice) {
  const RunFolder root;
  const auto counters = [&](std::uint64_t more) {
    zone(root, "intel-rapl:0", "package-0", 1'000'000 + more);
    zone(root, "intel-rapl:0:0", "core", 500'000 + 100 * more);
    zone(root, "intel-rapl:0:1", "dram", 200'000 + 2 * more);
    zone(root, "intel-rapl:1", "package-1", 300'000 + 4 * more);
    zone(root, "intel-rapl:2", "psys", 100'000 + 1000 * more);
    zone(root, "intel-rapl-mmio:0", "package-0", 1'000'000 + more);
  };
  counters(0);
  EnergyMeter meter(root.path());
  EXPECT_EQ(meter.description(), "RAPL: package-0 + dram + package-1");
  counters(500'000);
  EXPECT_EQ(meter.joules(), 0.5 + 1.0 + 2.0);
  EXPECT_EQ(meter.joules(), 0.0);
}

TEST(EnergyMeter, CountsOnWhereACounterBeginsAnew) {
  const RunFolder root;
  zone(root, "intel-rapl:0", "package-0", 9'000'000);
  EnergyMeter meter(root.path());
  zone(root, "intel-rapl:0", "package-0", 500'000);
  EXPECT_EQ(meter.joules(), 1.5);  // 1 to the end of the range, half a joule after it
}

TEST(EnergyMeter, SaysWhyNothingIsCounted) {
  const RunFolder root;
  EnergyMeter none(root.path() / "powercap");
  EXPECT_EQ(none.joules(), std::nullopt);
  EXPECT_EQ(none.description(), "n/a: no RAPL counter in " + (root.path() / "powercap").string());
  root.write("intel-rapl:0/name", "package-0\n");  // energy_uj is not there, or root's
  EnergyMeter unreadable(root.path());
  EXPECT_EQ(unreadable.joules(), std::nullopt);
  EXPECT_NE(unreadable.description().find("intel-rapl:0/energy_uj cannot be read"), std::string::npos);
}

TEST(EnergyMeter, HasNothingToSayOnceACounterIsGone) {
  const RunFolder root;
  zone(root, "intel-rapl:0", "package-0", 1);
  EnergyMeter meter(root.path());
  root.write("intel-rapl:0/energy_uj", "");
  EXPECT_EQ(meter.joules(), std::nullopt);
}

}  // namespace
}  // namespace megalith::app
