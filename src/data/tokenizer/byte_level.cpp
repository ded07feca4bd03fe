#include "data/tokenizer/byte_level.h"

namespace megalith {
namespace {

constexpr int kAlphabetEnd = 256 + 68;  // one past the largest code point of the alphabet

constexpr bool stands_for_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Alphabet {
  std::array<std::uint16_t, 256> code_point{};
  std::array<std::int16_t, kAlphabetEnd> byte{};  // -1: no byte has this character
  std::array<std::uint8_t, 256> in_order{};

  constexpr Alphabet() {
    for (std::int16_t& entry : byte) entry = -1;
    int next = 256;
    for (int value = 0; value < 256; ++value) {
      const int point = stands_for_itself(value) ? value : next++;
      code_point[static_cast<std::size_t>(value)] = static_cast<std::uint16_t>(point);
      byte[static_cast<std::size_t>(point)] = static_cast<std::int16_t>(value);
    }
    std::size_t rank = 0;
    for (const std::int16_t value : byte) {
      if (value >= 0) in_order[rank++] = static_cast<std::uint8_t>(value);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

const std::array<std::uint8_t, 256>& bytes_in_alphabet_order() {
  return kAlphabet.in_order;
}

std::string byte_level_key(std::string_view bytes) {
  std::string key;
  key.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const unsigned point = kAlphabet.code_point[static_cast<std::uint8_t>(c)];
    if (point < 0x80) {
      key += static_cast<char>(point);
    } else {
      key += static_cast<char>(0xC0 | (point >> 6));
      key += static_cast<char>(0x80 | (point & 0x3F));
    }
  }
  return key;
}

std::optional<std::string> byte_level_bytes(std::string_view key) {
  std::string bytes;
  bytes.reserve(key.size());
  for (std::size_t i = 0; i < key.size(); ++i) {
    unsigned point = static_cast<std::uint8_t>(key[i]);
    if (point >= 0x80) {
      // The alphabet ends below U+0144: two bytes, of which the first is at most 0xC5.
      if (point < 0xC2 || point > 0xC5 || i + 1 == key.size()) return std::nullopt;
      const unsigned low = static_cast<std::uint8_t>(key[++i]);
      if ((low & 0xC0) != 0x80) return std::nullopt;
      point = (point & 0x1F) << 6 | (low & 0x3F);
    }
    if (point >= kAlphabetEnd || kAlphabet.byte[point] < 0) return std::nullopt;
    bytes += static_cast<char>(kAlphabet.byte[point]);
  }
  return bytes;
}

}  // namespace megalith
