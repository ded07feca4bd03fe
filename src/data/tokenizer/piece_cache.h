// The ids of recent pieces, for one thread.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace megalith {

// Bytes of a short piece and how many there are, so that two comparisons tell pieces apart for certain.
struct ShortPiece {
  static constexpr std::size_t kMostBytes = 15;
  std::uint64_t low = 0, high = 0;
  bool operator==(const ShortPiece&) const = default;

  // REQUIRES: at most kMostBytes. What lies between the piece and `readable_end` is read and left out.
  static ShortPiece of(std::string_view piece, const char* readable_end);
};

// Where there is no room, the piece that was put in first makes way. Memory: 5 MiB.
class PieceCache {
 public:
  static constexpr std::size_t kFewIds = 3;  // a short piece has at most so many here

  static constexpr std::size_t kManyIds = kFewIds + 1;
  // Writes the ids (and what lies behind them, kFewIds in all) to `ids`; how many they are. 0 where the piece
  // is not known, kManyIds where find_long is to be asked.
  std::size_t find(const ShortPiece& piece, std::int32_t* ids) {
    Line& line = lines_[line_of(piece)];
    if (line.first.piece == piece) return line.first.copy_to(ids);
    if (line.second.piece != piece) return 0;
    std::swap(line.first, line.second);  // the latest stays longest
    return line.first.copy_to(ids);
  }
  // Lets the memory that find() will read come nearer meanwhile.
  void prefetch(const ShortPiece& piece) const { __builtin_prefetch(&lines_[line_of(piece)]); }
  // For longer pieces, and those of many ids; empty where the piece is not known.
  [[nodiscard]] std::span<const std::int32_t> find_long(std::string_view piece) const;

  // Pieces and ids that are too long are left out.
  void remember(std::string_view piece, std::span<const std::int32_t> ids);

 private:
  struct Short {
    ShortPiece piece;  // no bytes: empty
    std::int32_t ids[kFewIds] = {};
    std::uint32_t num_ids = 0;
    std::size_t copy_to(std::int32_t* to) const {
      std::memcpy(to, ids, sizeof ids);
      return num_ids;
    }
  };
  struct alignas(64) Line {
    Short first, second;
  };
  struct alignas(128) Long {
    static constexpr std::size_t kBytes = 46, kIds = 20;
    std::uint8_t num_bytes = 0;  // 0: empty
    std::uint8_t num_ids = 0;
    char bytes[kBytes];
    std::int32_t ids[kIds];
  };
  static constexpr int kLineBits = 16;
  static constexpr std::size_t kLong = std::size_t{1} << 13;

  static std::size_t line_of(const ShortPiece& piece) {
    const std::uint64_t mixed = (piece.low ^ piece.high * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    return (mixed ^ mixed << 32) >> (64 - kLineBits);
  }
  static std::size_t long_place_of(std::string_view piece);

  std::vector<Line> lines_ = std::vector<Line>(std::size_t{1} << kLineBits);
  std::vector<Long> long_ = std::vector<Long>(kLong);
};

inline ShortPiece ShortPiece::of(std::string_view piece, const char* readable_end) {
  // Behind `size` bytes of ones: zeros.
  static constexpr std::array<unsigned char, 32> kMasks = [] {
    std::array<unsigned char, 32> masks{};
    for (std::size_t i = 0; i < 16; ++i) masks[i] = 0xFF;
    return masks;
  }();
  const std::size_t size = piece.size();
  std::array<std::uint64_t, 2> words{}, masks{};
  if (readable_end - piece.data() >= 16) {
    std::memcpy(words.data(), piece.data(), 16);
    std::memcpy(masks.data(), kMasks.data() + 16 - size, 16);
    words[0] &= masks[0];
    words[1] &= masks[1];
  } else {
    std::memcpy(words.data(), piece.data(), size);
  }
  // The sixteenth byte is free.
  constexpr int kLastByte = std::endian::native == std::endian::little ? 56 : 0;
  return {.low = words[0], .high = words[1] | std::uint64_t{size} << kLastByte};
}

}  // namespace megalith
