// Where there are several ranks, each keeps in the run's folder what it said last (comm/flight).
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "comm/flight/ring_writer.h"

namespace megalith::app {

std::filesystem::path rings_folder(const std::filesystem::path& run_folder);

class RecordedRanks {
 public:
  // Collective; `world` outlives it. One rank alone is not recorded.
  RecordedRanks(Communicator& world, const std::filesystem::path& run_folder);
  [[nodiscard]] Communicator& world() const { return observed_ ? *observed_ : world_; }

 private:
  Communicator& world_;
  std::optional<RingWriter> ring_;
  std::unique_ptr<Communicator> observed_;
};

}  // namespace megalith::app
