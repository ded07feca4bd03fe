#include "data/tokenizer/piece_tally.h"

#include <algorithm>
#include <utility>

namespace megalith {

void PieceTally::add(std::string_view piece, std::int64_t count) {
  if (const auto found = long_.find(piece); found != long_.end()) {
    found->second += count;
    return;
  }
  long_.emplace(piece, count);
  bytes_ += piece.size();
}

void PieceTally::add(const PieceTally& other) {
  constexpr std::size_t kAhead = 16;
  for (std::size_t i = 0; i < other.slots_.size(); ++i) {
    if (i + kAhead < other.slots_.size()) prefetch(other.slots_[i + kAhead].piece);
    if (other.slots_[i].count > 0) add(other.slots_[i].piece, other.slots_[i].count);
  }
  for (const auto& [piece, count] : other.long_) add(std::string_view(piece), count);
}

std::int64_t PieceTally::take_out_up_to(std::int64_t most) {
  std::int64_t taken = 0;
  for (Slot& slot : slots_) {
    if (slot.count == 0 || slot.count > most) continue;
    taken += slot.count;
    bytes_ -= slot.piece.size();
    --num_short_;
    slot = {};
  }
  rebuild(slots_.size());  // the places of the others depended on those
  std::erase_if(long_, [&](const auto& entry) {
    if (entry.second > most) return false;
    taken += entry.second;
    bytes_ -= entry.first.size();
    return true;
  });
  return taken;
}

void PieceTally::clear() {
  std::fill(slots_.begin(), slots_.end(), Slot{});
  num_short_ = 0;
  long_.clear();
  bytes_ = 0;
}

void PieceTally::rebuild(std::size_t num_slots) {
  const std::vector<Slot> before = std::exchange(slots_, std::vector<Slot>(num_slots));
  for (const Slot& slot : before) {
    if (slot.count > 0) slots_[place_of(slot.piece)] = slot;
  }
}

}  // namespace megalith
