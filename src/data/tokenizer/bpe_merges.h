// The merges of a byte-pair encoding and their application to one piece: repeatedly the adjacent pair of
// least rank, leftmost first, becomes one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace megalith {

struct Merge {
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::int32_t merged = 0;
  bool operator==(const Merge&) const = default;
};

// From a pair to its rank (position in the list of merges) and result. Immutable once filled.
class MergeTable {
 public:
  static constexpr std::uint32_t kNoRank = UINT32_MAX;
  struct Found {
    std::uint32_t rank = kNoRank;
    std::int32_t merged = -1;
  };

  // Room for `count` merges.
  explicit MergeTable(std::size_t count = 0);
  // False, and no change, when the pair is there already. REQUIRES: at most `count` pairs, ids >= 0.
  bool add(const Merge& merge, std::uint32_t rank);
  [[nodiscard]] Found find(std::int32_t left, std::int32_t right) const;

 private:
  struct Slot {
    std::uint64_t pair = UINT64_MAX;  // no pair of ids >= 0 has these bits
    Found found;
  };
  [[nodiscard]] std::size_t slot_of(std::uint64_t pair) const;

  std::vector<Slot> slots_;  // a power of two, at most half full
};

// Merges pieces of any length in O(n log n). Holds the scratch memory of one thread.
class PieceMerger {
 public:
  explicit PieceMerger(const MergeTable& table) : table_(&table) {}

  // `ids` holds one id per byte of the piece; returns how many remain, at the front.
  std::size_t merge(std::span<std::int32_t> ids);

 private:
  std::size_t merge_short(std::span<std::int32_t> ids);
  std::size_t merge_long(std::span<std::int32_t> ids);
  void offer(std::span<const std::int32_t> ids, std::int32_t at);

  // Candidate pairs as rank << 32 | position: the least is the one to merge next.
  using Candidate = std::uint64_t;
  const MergeTable* table_;
  std::vector<Candidate> heap_;
  std::vector<std::int32_t> previous_, next_;
};

}  // namespace megalith
