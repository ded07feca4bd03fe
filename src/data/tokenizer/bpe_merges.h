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
  [[nodiscard]] Found find(std::int32_t left, std::int32_t right) const {
    return slots_[slot_of(pair_of(left, right))].found;
  }
  // The same, faster where both are bytes: in most vocabularies these have the first ids. A piece begins as
  // bytes, so this is a third of all questions.
  [[nodiscard]] Found find_bytes(std::int32_t left, std::int32_t right) const {
    if (left >= kFirstIds || right >= kFirstIds) return find(left, right);
    return first_[static_cast<std::size_t>(left * kFirstIds + right)];
  }

 private:
  struct Slot {
    std::uint64_t pair = UINT64_MAX;  // no pair of ids >= 0 has these bits
    Found found;
  };
  static constexpr std::int32_t kFirstIds = 256 + 16;  // some special tokens before the bytes

  static std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  [[nodiscard]] std::size_t slot_of(std::uint64_t pair) const {
    std::uint64_t hash = pair * 0x9E3779B97F4A7C15u;
    hash = (hash ^ (hash >> 32)) * 0xBF58476D1CE4E5B9u;
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = (hash >> 29) & mask;
    while (slots_[slot].pair != pair && slots_[slot].pair != UINT64_MAX) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;   // a power of two, at most half full
  std::vector<Found> first_;  // of pairs of ids below kFirstIds, row by row
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
