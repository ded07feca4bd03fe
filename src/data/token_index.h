// The fixed numbers of a token file's index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace megalith::token_index {

inline constexpr std::string_view kMagic{"MMIDIDX\0\0", 9};
inline constexpr std::uint64_t kVersion = 1;

inline constexpr std::size_t kVersionAt = 9, kTypeAt = 17, kSequencesAt = 18, kDocumentsAt = 26,
                             kHeaderBytes = 34;

// Bytes of the index per sequence (int32 length, int64 offset) and per document entry (int64).
inline constexpr std::size_t kLengthBytes = 4, kOffsetBytes = 8, kDocumentBytes = 8;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace megalith::token_index
