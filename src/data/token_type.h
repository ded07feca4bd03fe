// How a token file stores ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace megalith {

// The values are the codes in the index.
enum class TokenType : std::uint8_t { uint8 = 1, int8 = 2, int16 = 3, int32 = 4, int64 = 5, uint16 = 8 };

constexpr std::size_t token_type_size(TokenType type) {
  switch (type) {
    case TokenType::uint8:
    case TokenType::int8:
      return 1;
    case TokenType::int16:
    case TokenType::uint16:
      return 2;
    case TokenType::int32:
      return 4;
    case TokenType::int64:
      return 8;
  }
  return 0;  // not a token type
}

constexpr std::string_view token_type_name(TokenType type) {
  switch (type) {
    case TokenType::uint8:
      return "uint8";
    case TokenType::int8:
      return "int8";
    case TokenType::int16:
      return "int16";
    case TokenType::int32:
      return "int32";
    case TokenType::int64:
      return "int64";
    case TokenType::uint16:
      return "uint16";
  }
  return "unknown";
}

// What new files use for a vocabulary of this size.
constexpr TokenType token_type_for(std::int64_t vocabulary) {
  return vocabulary < 65500 ? TokenType::uint16 : TokenType::int32;
}

}  // namespace megalith
