// The ids of recent pieces, for one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/short_piece.h"

namespace megalith {

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

  static std::size_t line_of(const ShortPiece& piece) { return piece.hash() >> (64 - kLineBits); }
  static std::size_t long_place_of(std::string_view piece);

  std::vector<Line> lines_ = std::vector<Line>(std::size_t{1} << kLineBits);
  std::vector<Long> long_ = std::vector<Long>(kLong);
};

}  // namespace megalith
