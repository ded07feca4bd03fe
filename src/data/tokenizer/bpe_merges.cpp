#include "data/tokenizer/bpe_merges.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

#include "core/error.h"

namespace megalith {
namespace {

// Up to here a quadratic scan over an array beats a heap.
constexpr std::size_t kShortPiece = 48;

}  // namespace

MergeTable::MergeTable(std::size_t count)
    : slots_(std::bit_ceil(std::max<std::size_t>(2 * count, 2))), first_(kFirstIds * kFirstIds) {}

bool MergeTable::add(const Merge& merge, std::uint32_t rank) {
  const std::uint64_t pair = pair_of(merge.left, merge.right);
  Slot& slot = slots_[slot_of(pair)];
  if (slot.pair == pair) return false;
  slot = {.pair = pair, .found = {.rank = rank, .merged = merge.merged}};
  if (merge.left < kFirstIds && merge.right < kFirstIds) {
    first_[static_cast<std::size_t>(merge.left * kFirstIds + merge.right)] = slot.found;
  }
  return true;
}

std::size_t PieceMerger::merge(std::span<std::int32_t> ids) {
  return ids.size() <= kShortPiece ? merge_short(ids) : merge_long(ids);
}

std::size_t PieceMerger::merge_short(std::span<std::int32_t> ids) {
  const std::size_t size = ids.size();
  if (size < 2) return size;
  // Of position i and the next one that is still there. The least is the leftmost of the least rank; a
  // position that was merged into its left neighbour has the rank of none.
  constexpr Candidate kNone = Candidate{MergeTable::kNoRank} << 32;
  std::array<Candidate, kShortPiece> pair;
  std::array<std::int32_t, kShortPiece> merged;
  std::array<std::uint8_t, kShortPiece + 1> next, previous;
  const auto set_pair = [&](std::size_t at, MergeTable::Found found) {
    pair[at] = Candidate{found.rank} << 32 | at;
    merged[at] = found.merged;
  };
  for (std::size_t i = 0; i < size; ++i) {
    next[i] = static_cast<std::uint8_t>(i + 1);
    previous[i + 1] = static_cast<std::uint8_t>(i);
    if (i + 1 < size) set_pair(i, table_->find_bytes(ids[i], ids[i + 1]));
  }
  pair[size - 1] = kNone;
  while (true) {
    const Candidate best = *std::min_element(pair.begin(), pair.begin() + size);
    if (best >= kNone) break;
    const std::size_t left = best & 0xFF, right = next[left], after = next[right];
    ids[left] = merged[left];
    pair[left] = pair[right] = kNone;
    next[left] = static_cast<std::uint8_t>(after);
    previous[after] = static_cast<std::uint8_t>(left);
    if (after < size) set_pair(left, table_->find(ids[left], ids[after]));
    if (left > 0) {
      const std::size_t before = previous[left];
      set_pair(before, table_->find(ids[before], ids[left]));
    }
  }
  std::size_t count = 0;
  for (std::size_t i = 0; i < size; i = next[i]) ids[count++] = ids[i];
  return count;
}

void PieceMerger::offer(std::span<const std::int32_t> ids, std::int32_t at) {
  const auto left = static_cast<std::size_t>(at);
  if (next_[left] < 0) return;
  const MergeTable::Found found = table_->find(ids[left], ids[static_cast<std::size_t>(next_[left])]);
  if (found.rank == MergeTable::kNoRank) return;
  heap_.push_back(Candidate{found.rank} << 32 | static_cast<std::uint32_t>(at));
}

std::size_t PieceMerger::merge_long(std::span<std::int32_t> ids) {
  constexpr std::int32_t kGone = -1;  // id of a position that its left neighbour took over
  const auto count = static_cast<std::int32_t>(ids.size());
  previous_.resize(ids.size());
  next_.resize(ids.size());
  heap_.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    previous_[static_cast<std::size_t>(i)] = i - 1;
    next_[static_cast<std::size_t>(i)] = i + 1 < count ? i + 1 : -1;
  }
  for (std::int32_t i = 0; i < count; ++i) offer(ids, i);
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());

  const auto offer_sifted = [&](std::int32_t at) {
    const std::size_t before = heap_.size();
    offer(ids, at);
    if (heap_.size() > before) std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  };
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const Candidate candidate = heap_.back();
    heap_.pop_back();
    const auto left = static_cast<std::size_t>(candidate & 0xFFFFFFFFu);
    if (ids[left] == kGone || next_[left] < 0) continue;
    const auto right = static_cast<std::size_t>(next_[left]);
    // Stale when a neighbour was merged since: the pair that stands here now has another rank.
    const MergeTable::Found found = table_->find(ids[left], ids[right]);
    if (found.rank != candidate >> 32) continue;
    ids[left] = found.merged;
    ids[right] = kGone;
    next_[left] = next_[right];
    if (next_[left] >= 0) previous_[static_cast<std::size_t>(next_[left])] = static_cast<std::int32_t>(left);
    offer_sifted(static_cast<std::int32_t>(left));
    if (previous_[left] >= 0) offer_sifted(previous_[left]);
  }
  return static_cast<std::size_t>(std::remove(ids.begin(), ids.end(), kGone) - ids.begin());
}

}  // namespace megalith
