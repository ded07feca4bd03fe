// Reads what a rank's ring says (ring_format.h), of a process that runs or of one that is gone, and tells
// people.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "comm/operation.h"
#include "core/error.h"

namespace megalith {

struct RingEntry {
  std::string group;  // "data"
  OperationKind kind = OperationKind::send;
  std::uint64_t number = 0;  // which of its communicator, collectives and messages apart
  std::uint64_t bytes = 0;
  int peer = -1;
  std::int64_t entered = 0, waiting = 0, left = 0;  // nanoseconds of the system clock; 0: not yet
};

struct RankRing {
  int rank = 0;
  int ranks = 1;
  std::int64_t process = 0;
  std::string host;
  std::uint64_t entered = 0;    // operations in all
  std::vector<RingEntry> last;  // the oldest first; those the ring still holds
};

// Refuses what no rank wrote. `name` is for messages.
Expected<RankRing> parse_ring(std::span<const std::byte> bytes, const std::string& name);
// The rings in a run's folder, by rank.
Expected<std::vector<RankRing>> read_rings(const std::filesystem::path& folder);
std::filesystem::path ring_path(const std::filesystem::path& folder, int rank);

// What each rank did last, at most `entries` operations each.
std::string to_text(const std::vector<RankRing>& rings, std::size_t entries);

}  // namespace megalith
