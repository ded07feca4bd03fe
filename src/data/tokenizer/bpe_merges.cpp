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

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(std::size_t count) : slots_(std::bit_ceil(std::max<std::size_t>(2 * count, 2))) {}

std::size_t MergeTable::slot_of(std::uint64_t pair) const {
  std::uint64_t hash = pair * 0x9E3779B97F4A7C15u;
  hash = (hash ^ (hash >> 32)) * 0xBF58476D1CE4E5B9u;
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = (hash >> 29) & mask;
  while (slots_[slot].pair != pair && slots_[slot].pair != UINT64_MAX) slot = (slot + 1) & mask;
  return slot;
}

bool MergeTable::add(const Merge& merge, std::uint32_t rank) {
  const std::uint64_t pair = pair_of(merge.left, merge.right);
  Slot& slot = slots_[slot_of(pair)];
  if (slot.pair == pair) return false;
  slot = {.pair = pair, .found = {.rank = rank, .merged = merge.merged}};
  return true;
}

MergeTable::Found MergeTable::find(std::int32_t left, std::int32_t right) const {
  return slots_[slot_of(pair_of(left, right))].found;
}

std::size_t PieceMerger::merge(std::span<std::int32_t> ids) {
  return ids.size() <= kShortPiece ? merge_short(ids) : merge_long(ids);
}

std::size_t PieceMerger::merge_short(std::span<std::int32_t> ids) {
  std::size_t size = ids.size();
  if (size < 2) return size;
  std::array<MergeTable::Found, kShortPiece> pair;  // pair[i] is of ids[i] and ids[i + 1]
  for (std::size_t i = 0; i + 1 < size; ++i) pair[i] = table_->find(ids[i], ids[i + 1]);
  while (size >= 2) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < size; ++i) {
      if (pair[i].rank < pair[best].rank) best = i;
    }
    if (pair[best].rank == MergeTable::kNoRank) break;
    ids[best] = pair[best].merged;
    std::copy(ids.begin() + static_cast<std::ptrdiff_t>(best) + 2,
              ids.begin() + static_cast<std::ptrdiff_t>(size),
              ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(pair.begin() + best + 1, pair.begin() + size - 1, pair.begin() + best);
    --size;
    if (best > 0) pair[best - 1] = table_->find(ids[best - 1], ids[best]);
    if (best + 1 < size) pair[best] = table_->find(ids[best], ids[best + 1]);
  }
  return size;
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
