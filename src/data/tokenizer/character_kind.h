// What the patterns tell apart in Unicode: eight kinds, of which every character is exactly one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace megalith {

// One bit each, so that a set of kinds is a mask. No bit: no character (the end of a text, or bytes that are
// not UTF-8).
enum CharacterKind : std::uint8_t {
  kUpper = 1,    // Lu and Lt
  kLower = 2,    // Ll
  kUncased = 4,  // Lm and Lo: letters without case
  kMark = 8,
  kNumber = 16,
  kSpace = 32,    // Unicode's White_Space without the next
  kNewline = 64,  // \r and \n
  kSymbol = 128,  // what is left
};

struct Character {
  std::uint8_t kind = 0;
  std::uint8_t size = 0;  // bytes; 0 exactly where kind is
};

// Kinds of ASCII by byte; 0 for the bytes from 0x80 on.
inline constexpr std::array<std::uint8_t, 256> kAsciiKinds = [] {
  std::array<std::uint8_t, 256> kinds{};
  for (unsigned c = 0; c < 0x80; ++c) {
    kinds[c] = c >= 'A' && c <= 'Z'                ? kUpper
               : c >= 'a' && c <= 'z'              ? kLower
               : c >= '0' && c <= '9'              ? kNumber
               : c == '\r' || c == '\n'            ? kNewline
               : c == ' ' || (c >= 9 && c <= 0x0D) ? kSpace
                                                   : kSymbol;
  }
  return kinds;
}();

// The character beyond ASCII that [at, end) begins with. REQUIRES: at < end and *at >= 0x80.
Character character_beyond_ascii(const unsigned char* at, const unsigned char* end);

// The kinds of all code points, asked of the pattern library at first use (some milliseconds) and kept: the
// same version of Unicode as its patterns', by construction.
class CharacterKinds {
 public:
  static const CharacterKinds& of_pattern_library();
  [[nodiscard]] std::uint8_t operator[](std::uint32_t code_point) const {
    return kinds_[(std::size_t{pages_[code_point / kPage]} * kPage) + code_point % kPage];
  }

 private:
  static constexpr std::size_t kPage = 128, kCodePoints = 0x110000;
  CharacterKinds();
  std::array<std::uint16_t, kCodePoints / kPage> pages_{};  // equal pages are stored once
  std::vector<std::uint8_t> kinds_;
};

}  // namespace megalith
