#include "data/tokenizer/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

// Combining marks (class above 0) stand in the order of their classes. utf8proc sorts by exchanging
// neighbours, which on a million marks takes days.
void sort_marks(std::vector<utf8proc_int32_t>& points) {
  const auto rank = [](utf8proc_int32_t point) { return utf8proc_get_property(point)->combining_class; };
  for (std::size_t at = 0; at < points.size();) {
    std::size_t end = at;
    while (end < points.size() && rank(points[end]) != 0) ++end;
    if (end - at > 1) {
      std::stable_sort(points.begin() + static_cast<std::ptrdiff_t>(at),
                       points.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](auto a, auto b) { return rank(a) < rank(b); });
    }
    at = std::max(end, at + 1);
  }
}

// The number from which those of Hangul's trailing consonants are counted, itself none of them: it joins
// nothing, but utf8proc (2.8) takes it for one and loses it behind a syllable.
constexpr utf8proc_int32_t kBeforeTrailingConsonants = 0x11A7;

// REQUIRES: decomposed, marks in order, kBeforeTrailingConsonants only as the first.
void append_composed(std::span<utf8proc_int32_t> points, std::string& normal) {
  const utf8proc_ssize_t count =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()), kOptions);
  MEGALITH_CHECK(count >= 0, "utf8proc_normalize_utf32 returned {}", count);
  for (const utf8proc_int32_t point : points.first(static_cast<std::size_t>(count))) {
    std::array<utf8proc_uint8_t, 4> bytes{};
    const utf8proc_ssize_t length = utf8proc_encode_char(point, bytes.data());
    normal.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(length));
  }
}

// REQUIRES: valid UTF-8.
void append_nfc(std::string_view text, std::vector<utf8proc_int32_t>& points, std::string& normal) {
  points.clear();
  while (!text.empty()) {
    utf8proc_int32_t point = 0;
    const utf8proc_ssize_t length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                                     static_cast<utf8proc_ssize_t>(text.size()), &point);
    MEGALITH_CHECK(length > 0, "utf8proc_iterate returned {}", length);
    std::array<utf8proc_int32_t, 32> parts{};
    const utf8proc_ssize_t count = utf8proc_decompose_char(
        point, parts.data(), static_cast<utf8proc_ssize_t>(parts.size()), kOptions, nullptr);
    MEGALITH_CHECK(count > 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()), "U+{:04X} has {} parts",
                   point, count);
    points.insert(points.end(), parts.begin(), parts.begin() + count);
    text.remove_prefix(static_cast<std::size_t>(length));
  }
  sort_marks(points);
  for (std::span<utf8proc_int32_t> rest(points); !rest.empty();) {
    const auto end = std::find(rest.begin() + 1, rest.end(), kBeforeTrailingConsonants);
    const auto size = static_cast<std::size_t>(end - rest.begin());
    append_composed(rest.first(size), normal);
    rest = rest.subspan(size);
  }
}

bool is_ascii(char c) {
  return static_cast<std::uint8_t>(c) < 0x80;
}

// U+0300 is CC 80, and everything above begins with a greater byte.
bool can_change(char c) {
  return static_cast<std::uint8_t>(c) >= 0xCC;
}

}  // namespace

bool is_obviously_nfc(std::string_view text) {
  return std::none_of(text.begin(), text.end(), can_change);
}

std::string to_nfc(std::string_view text) {
  std::string normal;
  normal.reserve(text.size());
  std::vector<utf8proc_int32_t> points;
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    std::size_t at = 0;
    while (at < valid) {
      // ASCII joins nothing before it, so what lies between two such places is normalized by itself.
      std::size_t begin = at;
      while (begin < valid && !can_change(text[begin])) ++begin;
      if (begin < valid) {
        while (begin > at && !is_ascii(text[begin])) --begin;
      }
      std::size_t end = std::min(begin + 1, valid);
      while (end < valid && !is_ascii(text[end])) ++end;
      normal += text.substr(at, begin - at);
      append_nfc(text.substr(begin, end - begin), points, normal);
      at = end;
    }
    text.remove_prefix(valid);
    const std::size_t invalid = invalid_utf8_prefix(text, text.size());
    normal += text.substr(0, invalid);
    text.remove_prefix(invalid);
  }
  return normal;
}

}  // namespace megalith
