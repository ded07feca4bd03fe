// TensorBoard event files read back, written apart from the encoder: CRC by the bit, fields by the book.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "run/temporary_folder.h"

namespace megalith::test {

// x^32 + x^28 + ... + 1, least significant bit first.
inline std::uint32_t crc_by_bits(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const std::uint32_t in = (static_cast<unsigned char>(c) >> bit) & 1u;
      const std::uint32_t out = (crc & 1u) ^ in;
      crc >>= 1;
      if (out != 0) crc ^= 0x82F63B78u;
    }
  }
  return ~crc;
}

inline std::uint32_t mask(std::uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

template <class T>
T number_at(std::string_view bytes, std::size_t at) {
  T value{};
  EXPECT_LE(at + sizeof(T), bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// One field of a protobuf message: varints and fixed numbers as bits, the rest as bytes.
struct Field {
  std::uint64_t bits = 0;
  std::string bytes;
};

// Fields by number, in the order they stand.
inline std::multimap<int, Field> fields_of(std::string_view text) {
  std::multimap<int, Field> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(text.at(at++));
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < text.size()) {
    const std::uint64_t key = varint();
    Field field;
    switch (key & 7) {
      case 0:
        field.bits = varint();
        break;
      case 1:
        field.bits = number_at<std::uint64_t>(text, at), at += 8;
        break;
      case 5:
        field.bits = number_at<std::uint32_t>(text, at), at += 4;
        break;
      case 2: {
        const std::uint64_t size = varint();
        field.bytes = std::string(text.substr(at, size));
        EXPECT_EQ(field.bytes.size(), size);
        at += size;
        break;
      }
      default:
        ADD_FAILURE() << "wire type " << (key & 7);
        return fields;
    }
    fields.emplace(static_cast<int>(key >> 3), std::move(field));
  }
  return fields;
}

inline const Field& only(const std::multimap<int, Field>& fields, int number) {
  EXPECT_EQ(fields.count(number), 1u) << "field " << number;
  static const Field none;
  const auto found = fields.find(number);
  return found == fields.end() ? none : found->second;
}

struct ReadEvent {
  double wall = 0;
  std::int64_t step = 0;
  std::string version;
  std::map<std::string, float> scalars;
  std::map<std::string, std::string> texts;  // by tag
  bool session_start = false;
};

inline ReadEvent read_event(std::string_view bytes) {
  ReadEvent event;
  const auto fields = fields_of(bytes);
  const std::uint64_t wall = only(fields, 1).bits;
  std::memcpy(&event.wall, &wall, sizeof(wall));
  if (fields.count(2) != 0) event.step = static_cast<std::int64_t>(only(fields, 2).bits);
  if (fields.count(3) != 0) event.version = only(fields, 3).bytes;
  if (fields.count(7) != 0) event.session_start = only(fields_of(only(fields, 7).bytes), 1).bits == 1;
  if (fields.count(5) == 0) return event;
  const auto summary = fields_of(only(fields, 5).bytes);
  for (auto [value, end] = summary.equal_range(1); value != end; ++value) {
    const auto parts = fields_of(value->second.bytes);
    const std::string tag = only(parts, 1).bytes;
    if (parts.count(2) != 0) {
      const auto bits = static_cast<std::uint32_t>(only(parts, 2).bits);
      std::memcpy(&event.scalars[tag], &bits, sizeof(bits));
    } else {
      const auto tensor = fields_of(only(parts, 8).bytes);
      EXPECT_EQ(only(tensor, 1).bits, 7u);  // strings
      event.texts[tag] = only(tensor, 8).bytes;
      const auto metadata = fields_of(only(parts, 9).bytes);
      EXPECT_EQ(only(fields_of(only(metadata, 1).bytes), 1).bytes, "text");
    }
  }
  return event;
}

// Every record of a file; both checksums of each are right and nothing is left over.
inline std::vector<ReadEvent> read_event_file(const std::filesystem::path& path) {
  const std::string text = slurp(path);
  std::vector<ReadEvent> events;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto length = number_at<std::uint64_t>(text, at);
    EXPECT_EQ(number_at<std::uint32_t>(text, at + 8), mask(crc_by_bits(text.substr(at, 8)))) << path;
    if (text.size() < at + 16 + length) {
      ADD_FAILURE() << path << ": torn";
      break;
    }
    const std::string event = text.substr(at + 12, length);
    EXPECT_EQ(number_at<std::uint32_t>(text, at + 12 + length), mask(crc_by_bits(event))) << path;
    events.push_back(read_event(event));
    at += 16 + length;
  }
  return events;
}

// The events of all files of a folder, in the order of their names, as TensorBoard reads them.
inline std::vector<ReadEvent> read_events(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<ReadEvent> events;
  for (const auto& file : files) {
    for (ReadEvent& event : read_event_file(file)) events.push_back(std::move(event));
  }
  return events;
}

}  // namespace megalith::test
