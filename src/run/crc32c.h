// CRC-32C (Castagnoli), the checksum of TensorFlow's record files.
#pragma once

#include <cstdint>
#include <string_view>

namespace megalith {

std::uint32_t crc32c(std::string_view bytes);

// As records store it: turned and shifted by a constant, so that the checksum of bytes that hold checksums
// is no special value.
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace megalith
