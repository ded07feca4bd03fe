// The byte-level alphabet of GPT-2: every byte has one printable character, so that vocabularies can be
// written as text. Bytes 33-126, 161-172 and 174-255 stand for themselves as code points; the other 68, in
// increasing order, are U+0100, U+0101, ... (space is U+0120, newline U+010A).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace megalith {

// The bytes in the order of their characters' code points: the order of the first 256 pieces of a vocabulary.
const std::array<std::uint8_t, 256>& bytes_in_alphabet_order();

// Bytes to their characters, as UTF-8.
std::string byte_level_key(std::string_view bytes);

// The inverse; nothing when `key` holds a character outside the alphabet or is not UTF-8.
std::optional<std::string> byte_level_bytes(std::string_view key);

}  // namespace megalith
