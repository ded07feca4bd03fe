// The records of a TensorBoard event file, encoded and framed here without TensorFlow or protobuf.
//
// A file is a row of records (TFRecord):
//   u64 length | u32 masked CRC-32C of these 8 bytes | the event, `length` bytes | u32 masked CRC-32C of it
// An event is a protobuf message `Event` of which these fields are used:
//   1 wall_time double, 2 step int64, 3 file_version string, 5 summary, 7 session_log
// A summary is a list (field 1) of values: 1 tag, 2 simple_value float, 8 tensor, 9 metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace megalith {

// When and at which step; seconds since 1970.
struct EventTime {
  double wall = 0;
  std::int64_t step = 0;
};

using NamedValue = std::pair<std::string_view, double>;

// The first record of every file.
std::string file_version_event(double wall);
// Tells a reader that is watching to forget what it read of this step and later ones.
std::string session_start_event(EventTime time);
// One event with a scalar per tag; values become floats.
std::string scalars_event(EventTime time, std::span<const NamedValue> values);
// Markdown for the text page.
std::string text_event(EventTime time, std::string_view tag, std::string_view markdown);

// The event as a record.
std::string framed(std::string_view event);

// A record at the front of `bytes`; none where the bytes end too early or a checksum is wrong.
struct EventRecord {
  std::size_t bytes = 0;  // of the whole record
  std::int64_t step = 0;  // 0 where the event names none, as protobuf has it
};
std::optional<EventRecord> first_record(std::string_view bytes);

}  // namespace megalith
