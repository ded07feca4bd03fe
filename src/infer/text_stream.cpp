#include "infer/text_stream.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace megalith {
namespace {

// Bytes of the character that `lead` starts; 0 when it starts none.
std::size_t character_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

// Length of the valid character at the front, 0 when the first byte belongs to none (RFC 3629: no overlong
// forms, no surrogates, nothing past U+10FFFF).
std::size_t valid_character(std::string_view bytes) {
  const std::size_t length = character_length(static_cast<unsigned char>(bytes[0]));
  if (length == 0 || bytes.size() < length) return 0;
  if (!std::all_of(bytes.begin() + 1, bytes.begin() + static_cast<std::ptrdiff_t>(length), is_continuation))
    return 0;
  const auto first = static_cast<unsigned char>(bytes[0]);
  const auto second = length > 1 ? static_cast<unsigned char>(bytes[1]) : 0;
  if (first == 0xe0 && second < 0xa0) return 0;
  if (first == 0xed && second >= 0xa0) return 0;
  if (first == 0xf0 && second < 0x90) return 0;
  if (first == 0xf4 && second >= 0x90) return 0;
  return length;
}

// Longest end of `text` that is a proper start of `stop`.
std::size_t overlap(std::string_view text, std::string_view stop) {
  std::size_t length = std::min(text.size(), stop.size() - 1);
  while (length > 0 && text.substr(text.size() - length) != stop.substr(0, length)) --length;
  return length;
}

}  // namespace

std::size_t whole_characters(std::string_view bytes) {
  const std::size_t first = bytes.size() > 3 ? bytes.size() - 3 : 0;
  for (std::size_t i = bytes.size(); i > first;) {
    --i;
    if (is_continuation(bytes[i])) continue;
    const std::size_t length = character_length(static_cast<unsigned char>(bytes[i]));
    return length > bytes.size() - i ? i : bytes.size();
  }
  return bytes.size();
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const std::size_t length = valid_character(bytes);
    if (length == 0) {
      text += "\xef\xbf\xbd";
      bytes.remove_prefix(1);
    } else {
      text += bytes.substr(0, length);
      bytes.remove_prefix(length);
    }
  }
  return text;
}

TextStream::TextStream(std::vector<std::string> stop_strings) : stop_strings_(std::move(stop_strings)) {
  std::erase(stop_strings_, std::string());
}

std::string TextStream::take(std::size_t bytes) {
  std::string text = to_valid_utf8(std::string_view(pending_).substr(0, bytes));
  pending_.erase(0, bytes);
  return text;
}

std::string TextStream::push(std::string_view bytes) {
  if (stopped_) return {};
  pending_ += bytes;
  // The stop string that is complete first counts, and of two the longer: what a reader sees must not depend
  // on how tokens cut the text, and byte by byte that one would have ended it.
  std::size_t first_end = std::string::npos;
  std::size_t stop_at = std::string::npos;
  std::size_t held = 0;
  for (const std::string& stop : stop_strings_) {
    held = std::max(held, overlap(pending_, stop));
    const std::size_t at = pending_.find(stop);
    if (at == std::string::npos) continue;
    const std::size_t end = at + stop.size();
    if (end < first_end || (end == first_end && at < stop_at)) {
      first_end = end;
      stop_at = at;
    }
  }
  if (stop_at != std::string::npos) {
    stopped_ = true;
    pending_.resize(stop_at);
    return take(pending_.size());
  }
  return take(whole_characters(std::string_view(pending_).substr(0, pending_.size() - held)));
}

std::string TextStream::finish() {
  return take(pending_.size());
}

}  // namespace megalith
