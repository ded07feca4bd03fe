// Pieces of a few bytes as two words: most pieces of most texts.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace megalith {

// Bytes of a short piece and how many there are, so that two comparisons tell pieces apart for certain.
struct ShortPiece {
  static constexpr std::size_t kMostBytes = 15;
  std::uint64_t low = 0, high = 0;
  bool operator==(const ShortPiece&) const = default;

  // REQUIRES: at most kMostBytes. What lies between the piece and `readable_end` is read and left out.
  static ShortPiece of(std::string_view piece, const char* readable_end);

  [[nodiscard]] std::size_t size() const { return high >> kLastByte & 0xFF; }
  [[nodiscard]] std::string bytes() const {
    std::array<char, 16> all;
    std::memcpy(all.data(), &low, 8);
    std::memcpy(all.data() + 8, &high, 8);
    return {all.data(), size()};
  }
  // Its high bits are the good ones.
  [[nodiscard]] std::uint64_t hash() const {
    const std::uint64_t mixed = (low ^ high * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    return mixed ^ mixed << 32;
  }

 private:
  static constexpr int kLastByte = std::endian::native == std::endian::little ? 56 : 0;
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
  return {.low = words[0], .high = words[1] | std::uint64_t{size} << kLastByte};
}

}  // namespace megalith
