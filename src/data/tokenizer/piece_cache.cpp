#include "data/tokenizer/piece_cache.h"

#include <algorithm>

#include "core/digest.h"

namespace megalith {

std::size_t PieceCache::long_place_of(std::string_view piece) {
  return digest_bytes(piece.data(), piece.size()) % kLong;
}

std::span<const std::int32_t> PieceCache::find_long(std::string_view piece) const {
  if (piece.size() > Long::kBytes) return {};
  const Long& place = long_[long_place_of(piece)];
  if (place.num_bytes != piece.size() || std::memcmp(place.bytes, piece.data(), piece.size()) != 0) return {};
  return {place.ids, place.num_ids};
}

void PieceCache::remember(std::string_view piece, std::span<const std::int32_t> ids) {
  if (piece.size() <= ShortPiece::kMostBytes) {
    const ShortPiece key = ShortPiece::of(piece, piece.data() + piece.size());
    Line& line = lines_[line_of(key)];
    if (line.first.piece != key) line.second = line.first;
    line.first.piece = key;
    line.first.num_ids = static_cast<std::uint32_t>(std::min(ids.size(), kManyIds));
    if (ids.size() <= kFewIds) {
      std::copy(ids.begin(), ids.end(), line.first.ids);
      return;
    }
  }
  if (piece.size() <= Long::kBytes && ids.size() <= Long::kIds) {
    Long& place = long_[long_place_of(piece)];
    place.num_bytes = static_cast<std::uint8_t>(piece.size());
    place.num_ids = static_cast<std::uint8_t>(ids.size());
    std::copy(piece.begin(), piece.end(), place.bytes);
    std::copy(ids.begin(), ids.end(), place.ids);
  }
}

}  // namespace megalith
