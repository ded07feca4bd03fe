#include "comm/flight/ring_reader.h"

#include <algorithm>
#include <cstring>
#include <ctime>

#include "comm/flight/ring_format.h"
#include "core/file.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

// Text in a field that may have lost its zero.
std::string text_of(const char* field, std::size_t size) {
  std::string text(field, strnlen(field, size));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  }
  return text;
}

std::string name_of_group(const RingHeader& header, std::int32_t group) {
  if (group < 0 || static_cast<std::size_t>(group) >= kRingNames) return "?";
  return text_of(header.group[group].name, kRingNameBytes);
}

// "14:03:07.250"
std::string clock_of(std::int64_t nanoseconds) {
  const std::time_t seconds = nanoseconds / 1'000'000'000;
  std::tm time{};
  localtime_r(&seconds, &time);
  return fmt::format("{:02}:{:02}:{:02}.{:03}", time.tm_hour, time.tm_min, time.tm_sec,
                     nanoseconds / 1'000'000 % 1000);
}

std::string line_of(const RingEntry& entry) {
  std::string state = "done";
  if (entry.left == 0) state = entry.waiting == 0 ? "under way" : "waiting since " + clock_of(entry.waiting);
  const std::string peer = entry.peer < 0 ? "" : fmt::format(" with {}", entry.peer);
  return fmt::format("  {}  {:<14} {:<9} #{:<7} {:>12} bytes{}  {}\n", clock_of(entry.entered),
                     name_of(entry.kind), entry.group, entry.number, entry.bytes, peer, state);
}

}  // namespace

Expected<RankRing> parse_ring(std::span<const std::byte> bytes, const std::string& name) {
  const auto refuse_as = [&](const std::string& found) {
    return refuse({.where = name, .found = found, .allowed = "a ring of collectives as ranks write it"});
  };
  RingHeader header;
  if (bytes.size() < kRingHeaderBytes) return refuse_as(fmt::format("{} bytes", bytes.size()));
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kRingMagic, sizeof(kRingMagic)) != 0) return refuse_as("another beginning");
  if (header.capacity == 0 || header.capacity > kRingCapacity ||
      bytes.size() != kRingHeaderBytes + header.capacity * sizeof(RingRecord)) {
    return refuse_as(fmt::format("{} places in {} bytes", header.capacity, bytes.size()));
  }
  if (header.rank < 0 || header.rank >= header.ranks) {
    return refuse_as(fmt::format("rank {} of {}", header.rank, header.ranks));
  }
  RankRing ring{.rank = header.rank,
                .ranks = header.ranks,
                .process = header.process,
                .host = text_of(header.host, sizeof(header.host)),
                .entered = header.entered,
                .last = {}};
  const std::uint64_t held = std::min(header.entered, header.capacity);
  for (std::uint64_t ordinal = header.entered - held; ordinal < header.entered; ++ordinal) {
    RingRecord record;
    std::memcpy(&record, bytes.data() + kRingHeaderBytes + ordinal % header.capacity * sizeof(record),
                sizeof(record));
    // A rank may be writing at this moment.
    if (record.ordinal != ordinal || record.kind >= kNumOperationKinds) continue;
    ring.last.push_back({name_of_group(header, record.group), static_cast<OperationKind>(record.kind),
                         record.number, record.bytes, record.peer, record.entered, record.waiting,
                         record.left});
  }
  return ring;
}

fs::path ring_path(const fs::path& folder, int rank) {
  return folder / fmt::format("rank-{:05}.ring", rank);
}

Expected<std::vector<RankRing>> read_rings(const fs::path& folder) {
  std::vector<RankRing> rings;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".ring") continue;
    auto content = read_file(entry.path(), kRingFileBytes);
    if (!content) return tl::unexpected(content.error());
    auto ring = parse_ring(std::as_bytes(std::span(*content)), entry.path().string());
    if (!ring) return tl::unexpected(ring.error());
    rings.push_back(std::move(*ring));
  }
  if (rings.empty()) {
    return refuse({.where = folder.string(),
                   .found = "no rings",
                   .allowed = "the folder that several ranks of a run write"});
  }
  std::sort(rings.begin(), rings.end(), [](const RankRing& a, const RankRing& b) { return a.rank < b.rank; });
  return rings;
}

std::string to_text(const std::vector<RankRing>& rings, std::size_t entries) {
  std::string text;
  for (const RankRing& ring : rings) {
    text += fmt::format("rank {} of {} on {}, process {}: {} operations\n", ring.rank, ring.ranks, ring.host,
                        ring.process, ring.entered);
    const std::size_t shown = std::min(entries, ring.last.size());
    for (std::size_t i = ring.last.size() - shown; i < ring.last.size(); ++i) text += line_of(ring.last[i]);
  }
  return text;
}

}  // namespace megalith
