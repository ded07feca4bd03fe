#include "data/tokenizer/character_kind.h"

#include <map>
#include <string>
#include <utility>

#include "core/error.h"
#include "data/tokenizer/pattern_matcher.h"
#include "data/tokenizer/piece_pattern.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

constexpr std::uint32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;
constexpr std::uint32_t kPlane = 0x10000;

void append_utf8(std::uint32_t point, std::string& text) {
  const auto push = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  const auto push_continuation = [&](int shift) { push(0x80 | (point >> shift & 0x3F)); };
  if (point < 0x80) {
    push(point);
  } else if (point < 0x800) {
    push(0xC0 | point >> 6);
    push_continuation(0);
  } else if (point < 0x10000) {
    push(0xE0 | point >> 12);
    push_continuation(6);
    push_continuation(0);
  } else {
    push(0xF0 | point >> 18);
    push_continuation(12);
    push_continuation(6);
    push_continuation(0);
  }
}

// Calls f(code point, its kind) for each in [begin, end).
template <typename Function>
void for_each_kind(const PatternMatcher& matcher, std::uint32_t begin, std::uint32_t end, Function f) {
  std::string text;
  std::vector<std::uint32_t> points;
  for (std::uint32_t point = begin; point < end; ++point) {
    if (point >= kFirstSurrogate && point <= kLastSurrogate) continue;  // not in UTF-8
    append_utf8(point, text);
    points.push_back(point);
  }
  std::size_t next = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const PatternMatcher::Match run = matcher.match(rest);
    for (const char c : rest.substr(0, run.size)) {
      const bool begins = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
      if (begins) f(points[next++], static_cast<std::uint8_t>(1u << (run.group - 1)));
    }
    rest.remove_prefix(run.size);
  }
}

}  // namespace

CharacterKinds::CharacterKinds() {
  const PatternMatcher matcher(pcre2_source_of_kinds(), PatternMatcher::Code::just_in_time);
  std::map<std::vector<std::uint8_t>, std::uint16_t> known;
  std::vector<std::uint8_t> plane(kPlane);
  for (std::uint32_t begin = 0; begin < kCodePoints; begin += kPlane) {
    plane.assign(kPlane, 0);
    for_each_kind(matcher, begin, begin + kPlane,
                  [&](std::uint32_t point, std::uint8_t kind) { plane[point - begin] = kind; });
    for (std::size_t at = 0; at < kPlane; at += kPage) {
      std::vector<std::uint8_t> page(plane.begin() + static_cast<std::ptrdiff_t>(at),
                                     plane.begin() + static_cast<std::ptrdiff_t>(at + kPage));
      const auto [found, fresh] =
          known.try_emplace(std::move(page), static_cast<std::uint16_t>(known.size()));
      if (fresh) kinds_.insert(kinds_.end(), found->first.begin(), found->first.end());
      pages_[(begin + at) / kPage] = found->second;
    }
  }
}

const CharacterKinds& CharacterKinds::of_pattern_library() {
  static const CharacterKinds kinds;
  return kinds;
}

Character character_beyond_ascii(const unsigned char* at, const unsigned char* end) {
  static const CharacterKinds& kinds = CharacterKinds::of_pattern_library();
  const std::string_view text(reinterpret_cast<const char*>(at), static_cast<std::size_t>(end - at));
  const auto low = [&](int i) { return std::uint32_t{at[i]} & 0x3F; };
  switch (utf8_sequence_length(text)) {
    case 2:
      return {.kind = kinds[(at[0] & 0x1Fu) << 6 | low(1)], .size = 2};
    case 3:
      return {.kind = kinds[(at[0] & 0x0Fu) << 12 | low(1) << 6 | low(2)], .size = 3};
    case 4:
      return {.kind = kinds[(at[0] & 0x07u) << 18 | low(1) << 12 | low(2) << 6 | low(3)], .size = 4};
    default:
      return {};
  }
}

}  // namespace megalith
