#include "app/launch/recorded_ranks.h"

#include "comm/exchange.h"
#include "comm/flight/ring_reader.h"

namespace megalith::app {

namespace fs = std::filesystem;

fs::path rings_folder(const fs::path& run_folder) {
  return run_folder / "ranks";
}

RecordedRanks::RecordedRanks(Communicator& world, const fs::path& run_folder) : world_(world) {
  if (world.size() == 1) return;
  const fs::path folder = rings_folder(run_folder);
  if (world.rank() == 0) {
    fs::remove_all(folder);  // of an earlier layout
    fs::create_directories(folder);
  }
  number_from(world, 0);  // the folder is there
  ring_.emplace(ring_path(folder, world.rank()), world.rank(), world.size());
  observed_ = observe(world, *ring_);
}

}  // namespace megalith::app
