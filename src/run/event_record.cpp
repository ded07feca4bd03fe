#include "run/event_record.h"

#include <bit>
#include <cstring>

#include "run/crc32c.h"

namespace megalith {
namespace {

static_assert(std::endian::native == std::endian::little, "fixed-width fields are copied as they lie");

// Protobuf's wire types.
enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

// A protobuf message under construction.
class Message {
 public:
  Message& integer(std::uint32_t field, std::uint64_t value) {
    key(field, Wire::varint);
    varint(value);
    return *this;
  }
  Message& real(std::uint32_t field, double value) {
    key(field, Wire::fixed64);
    return raw(value);
  }
  Message& real32(std::uint32_t field, float value) {
    key(field, Wire::fixed32);
    return raw(value);
  }
  Message& bytes(std::uint32_t field, std::string_view value) {
    key(field, Wire::bytes);
    varint(value.size());
    text_ += value;
    return *this;
  }
  Message& message(std::uint32_t field, const Message& value) { return bytes(field, value.text_); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void key(std::uint32_t field, Wire wire) { varint(field << 3 | static_cast<std::uint32_t>(wire)); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>((value & 0x7F) | 0x80);
    text_ += static_cast<char>(value);
  }
  template <class T>
  Message& raw(T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    text_.append(bytes, sizeof(T));
    return *this;
  }
  std::string text_;
};

Message event(EventTime time) {
  Message message;
  message.real(1, time.wall);
  if (time.step != 0) message.integer(2, static_cast<std::uint64_t>(time.step));
  return message;
}

template <class T>
T load(std::string_view bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

// The event's step; none where it is no protobuf message.
std::optional<std::int64_t> step_of(std::string_view bytes) {
  std::int64_t step = 0;
  while (!bytes.empty()) {
    const std::optional<std::uint64_t> key = take_varint(bytes);
    if (!key) return std::nullopt;
    std::uint64_t skipped = 0;
    switch (static_cast<Wire>(*key & 7)) {
      case Wire::varint: {
        const std::optional<std::uint64_t> value = take_varint(bytes);
        if (!value) return std::nullopt;
        if (*key >> 3 == 2) step = static_cast<std::int64_t>(*value);
        break;
      }
      case Wire::fixed64:
        skipped = 8;
        break;
      case Wire::fixed32:
        skipped = 4;
        break;
      case Wire::bytes: {
        const std::optional<std::uint64_t> length = take_varint(bytes);
        if (!length) return std::nullopt;
        skipped = *length;
        break;
      }
      default:
        return std::nullopt;
    }
    if (skipped > bytes.size()) return std::nullopt;
    bytes.remove_prefix(skipped);
  }
  return step;
}

}  // namespace

std::string file_version_event(double wall) {
  return event({.wall = wall, .step = 0}).bytes(3, "brain.Event:2").text();
}

std::string session_start_event(EventTime time) {
  constexpr std::uint64_t kStart = 1;
  return event(time).message(7, Message().integer(1, kStart)).text();
}

std::string scalars_event(EventTime time, std::span<const NamedValue> values) {
  Message summary;
  for (const auto& [tag, value] : values) {
    summary.message(1, Message().bytes(1, tag).real32(2, static_cast<float>(value)));
  }
  return event(time).message(5, summary).text();
}

std::string text_event(EventTime time, std::string_view tag, std::string_view markdown) {
  constexpr std::uint64_t kStrings = 7;       // DataType DT_STRING
  constexpr std::uint64_t kClassTensors = 2;  // DataClass DATA_CLASS_TENSOR
  const Message scalar_shape;
  const Message tensor = Message().integer(1, kStrings).message(2, scalar_shape).bytes(8, markdown);
  const Message metadata = Message().message(1, Message().bytes(1, "text")).integer(4, kClassTensors);
  const Message value = Message().bytes(1, tag).message(8, tensor).message(9, metadata);
  return event(time).message(5, Message().message(1, value)).text();
}

std::string framed(std::string_view event) {
  const auto put = [](std::string& text, auto value) {
    char bytes[sizeof(value)];
    std::memcpy(bytes, &value, sizeof(value));
    text.append(bytes, sizeof(value));
  };
  std::string record;
  record.reserve(event.size() + 16);
  put(record, static_cast<std::uint64_t>(event.size()));
  put(record, masked_crc32c(record));
  record += event;
  put(record, masked_crc32c(event));
  return record;
}

std::optional<EventRecord> first_record(std::string_view bytes) {
  constexpr std::size_t kHead = 12;
  constexpr std::size_t kTail = 4;
  if (bytes.size() < kHead + kTail) return std::nullopt;
  const auto length = load<std::uint64_t>(bytes);
  if (load<std::uint32_t>(bytes.substr(8)) != masked_crc32c(bytes.substr(0, 8))) return std::nullopt;
  if (length > bytes.size() - kHead - kTail) return std::nullopt;
  const std::string_view event = bytes.substr(kHead, length);
  if (load<std::uint32_t>(bytes.substr(kHead + length)) != masked_crc32c(event)) return std::nullopt;
  const std::optional<std::int64_t> step = step_of(event);
  if (!step) return std::nullopt;
  return EventRecord{.bytes = kHead + length + kTail, .step = *step};
}

}  // namespace megalith
