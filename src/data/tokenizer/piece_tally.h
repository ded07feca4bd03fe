// Counts of pieces in a table of their own: training looks up every piece of the text in one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/digest.h"
#include "data/tokenizer/short_piece.h"

namespace megalith {

class PieceTally {
 public:
  PieceTally() : slots_(kFewestSlots) {}

  void add(const ShortPiece& piece, std::int64_t count) {
    Slot& slot = slots_[place_of(piece)];
    slot.count += count;
    if (slot.piece == piece) return;
    slot.piece = piece;
    bytes_ += piece.size();
    if (2 * ++num_short_ > slots_.size()) rebuild(2 * slots_.size());
  }
  // REQUIRES: a longer piece than a ShortPiece.
  void add(std::string_view piece, std::int64_t count);
  // Lets the memory that add() will read come nearer meanwhile.
  void prefetch(const ShortPiece& piece) const { __builtin_prefetch(&slots_[first_place_of(piece)]); }

  // Adds all of the other's.
  void add(const PieceTally& other);
  // Takes out the pieces that occurred `most` times or less; how many occurrences that is in all.
  std::int64_t take_out_up_to(std::int64_t most);
  void clear();

  [[nodiscard]] std::size_t num_pieces() const { return num_short_ + long_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }  // of all pieces together
  // f(bytes, count) for each, in any order.
  template <typename Function>
  void for_each(Function f) const {
    for (const Slot& slot : slots_) {
      if (slot.count > 0) f(slot.piece.bytes(), slot.count);
    }
    for (const auto& [piece, count] : long_) f(piece, count);
  }

 private:
  static constexpr std::size_t kFewestSlots = 1 << 12;
  struct Slot {
    ShortPiece piece;
    std::int64_t count = 0;  // 0: empty
  };
  struct LongHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view piece) const { return digest_bytes(piece.data(), piece.size()); }
  };

  [[nodiscard]] std::size_t first_place_of(const ShortPiece& piece) const {
    return piece.hash() >> 24 & (slots_.size() - 1);
  }
  // Where it is, or the empty slot where it belongs.
  [[nodiscard]] std::size_t place_of(const ShortPiece& piece) const {
    std::size_t place = first_place_of(piece);
    while (slots_[place].count > 0 && slots_[place].piece != piece) place = (place + 1) & (slots_.size() - 1);
    return place;
  }
  void rebuild(std::size_t num_slots);

  std::vector<Slot> slots_;  // a power of two, at most half full
  std::size_t num_short_ = 0;
  std::unordered_map<std::string, std::int64_t, LongHash, std::equal_to<>> long_;
  std::size_t bytes_ = 0;
};

}  // namespace megalith
