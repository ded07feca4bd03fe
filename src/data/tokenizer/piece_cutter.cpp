#include "data/tokenizer/piece_cutter.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "data/tokenizer/character_kind.h"

namespace megalith {
namespace {

using Byte = unsigned char;
using Place = const Byte*;

constexpr std::uint8_t kLetter = kUpper | kLower | kUncased;
constexpr std::uint8_t kWhite = kSpace | kNewline;
constexpr std::uint8_t kSign = kSymbol | kMark;  // [^\s\p{L}\p{N}]
// o200k's two classes of the characters of words.
constexpr std::uint8_t kCapitals = kUpper | kUncased | kMark;
constexpr std::uint8_t kSmalls = kLower | kUncased | kMark;

constexpr std::uint64_t kEachByte = 0x0101010101010101u;

// The highest bit of each byte that is not from 'a' to 'z'.
constexpr std::uint64_t not_small(std::uint64_t eight) {
  const std::uint64_t low = eight & kEachByte * 0x7F;
  const std::uint64_t from_a = low + kEachByte * (0x80 - 'a'), past_z = low + kEachByte * (0x7F - 'z');
  return (~(from_a & ~past_z) | eight) & kEachByte * 0x80;
}

// The same for letters in either case.
constexpr std::uint64_t not_letters(std::uint64_t eight) {
  return not_small(eight | kEachByte * 0x20);
}

class Cutter {
 public:
  // REQUIRES: a text that is not empty.
  explicit Cutter(std::string_view text)
      : begin_(reinterpret_cast<Place>(text.data())), end_(begin_ + text.size()) {}

  [[nodiscard]] std::size_t size_up_to(Place end) const { return static_cast<std::size_t>(end - begin_); }

  // Each gives the end of the first piece, or the begin where there is none.
  [[nodiscard]] Place gpt2() const {
    const Place start = begin_ + (*begin_ == ' ' ? 1 : 0);
    const Character first = at(start);
    if (first.kind & kLetter) return run<kLetter>(start + first.size);
    if (first.kind & kSign) {
      const Place end = contraction<false>(begin_);
      return end != begin_ ? end : run<kSign>(start + first.size);
    }
    if (first.kind & kNumber) return run<kNumber>(start + first.size);
    return white_space<false>();
  }

  // `most_digits` is 3 for cl100k and 1 for Qwen2.
  [[nodiscard]] Place cl100k(int most_digits) const {
    const Character first = at(begin_);
    if (first.kind & kLetter) return run<kLetter>(begin_ + first.size);
    if (first.kind & (kSpace | kSign)) {
      if (const Place end = contraction<true>(begin_); end != begin_) return end;
      const Character second = at(begin_ + first.size);
      if (second.kind & kLetter) return run<kLetter>(begin_ + first.size + second.size);
    }
    return numbers_signs_and_space(first, most_digits, '\n');
  }

  [[nodiscard]] Place o200k() const {
    const Character first = at(begin_);
    const Place second = begin_ + first.size;
    if (first.kind & kLetter) return contraction<true>(word<true>(begin_));
    // A mark may stand before the word or be one: before capitals only, the pattern takes it for one.
    if (first.kind & kMark) return contraction<true>(word<false>(second));
    if (first.kind & (kSpace | kSymbol)) {
      if (const Place end = word<true>(second); end != second) return contraction<true>(end);
    }
    return numbers_signs_and_space(first, 3, '/');
  }

 private:
  [[nodiscard]] Character at(Place place) const {
    if (place == end_) return {};
    if (const std::uint8_t kind = kAsciiKinds[*place]; kind != 0) return {.kind = kind, .size = 1};
    return character_beyond_ascii(place, end_);
  }

  // The end of the run of these kinds from `place` on.
  template <std::uint8_t kKinds>
  [[nodiscard]] Place run(Place place) const {
    while (true) {
      if constexpr (kKinds == kLetter) place = past_ascii<not_letters>(place);
      if constexpr (kKinds == kSmalls) place = past_ascii<not_small>(place);
      while (place != end_ && (kAsciiKinds[*place] & kKinds) != 0) ++place;
      if (place == end_ || *place < 0x80) return place;
      while (place != end_ && *place >= 0x80) {
        const Character next = character_beyond_ascii(place, end_);
        if ((next.kind & kKinds) == 0) return place;
        place += next.size;
      }
    }
  }

  // Eight bytes at a time, so that the length of a word decides no branch; stops short of the text's end.
  template <std::uint64_t (*kOthers)(std::uint64_t)>
  [[nodiscard]] Place past_ascii(Place place) const {
    if constexpr (std::endian::native == std::endian::little) {
      for (; end_ - place >= 8; place += 8) {
        std::uint64_t eight = 0;
        std::memcpy(&eight, place, sizeof eight);
        if (const std::uint64_t others = kOthers(eight); others != 0) {
          return place + std::countr_zero(others) / 8;
        }
      }
    }
    return place;
  }

  // Behind 's, 't, 're, 've, 'm, 'll or 'd at `place`, or `place` itself. In any case, U+017F is an s too.
  template <bool kAnyCase>
  [[nodiscard]] Place contraction(Place place) const {
    if (end_ - place < 2 || *place != '\'') return place;
    const auto letter = [&](std::ptrdiff_t i) {
      const Byte c = i < end_ - place ? place[i] : Byte{0};
      return kAnyCase && c >= 'A' && c <= 'Z' ? static_cast<Byte>(c + ('a' - 'A')) : c;
    };
    const Byte first = letter(1), second = letter(2);
    if (first == 's' || first == 'd' || first == 'm' || first == 't') return place + 2;
    const bool two = (first == 'l' && second == 'l') || ((first == 'v' || first == 'r') && second == 'e');
    const bool long_s = kAnyCase && first == 0xC5 && second == 0xBF;
    return two || long_s ? place + 3 : place;
  }

  // o200k's words: capitals, then smalls. A letter without case and a mark are both, and the pattern gives
  // back from the capitals what it needs for one small. `place` itself where there is no word; with capitals
  // alone only when they may be one.
  template <bool kCapitalsAlone>
  [[nodiscard]] Place word(Place place) const {
    Place end = place, behind_last_small = place;
    Character next = at(end);
    for (; (next.kind & kCapitals) != 0; next = at(end)) {
      end += next.size;
      if ((next.kind & kSmalls) != 0) behind_last_small = end;
    }
    if ((next.kind & kLower) != 0) return run<kSmalls>(end + next.size);
    return behind_last_small != place ? behind_last_small : kCapitalsAlone ? end : place;
  }

  // Numbers; signs with a space before them and line ends, or `also`, behind; white space.
  [[nodiscard]] Place numbers_signs_and_space(Character first, int most_digits, Byte also) const {
    if (first.kind & kNumber) {
      Place end = begin_ + first.size;
      for (int i = 1; i < most_digits; ++i) {
        const Character next = at(end);
        if ((next.kind & kNumber) == 0) break;
        end += next.size;
      }
      return end;
    }
    const Place start = begin_ + (*begin_ == ' ' ? 1 : 0);
    const Character sign = at(start);
    if ((sign.kind & kSign) == 0) return white_space<true>();
    Place end = run<kSign>(start + sign.size);
    while (end != end_ && (*end == '\n' || *end == '\r' || *end == also)) ++end;
    return end;
  }

  // A run of white space up to its last line end, where the pattern has that; all of it at the end of the
  // text; and before something else all but its last character, which belongs to what follows.
  template <bool kEndsWithLines>
  [[nodiscard]] Place white_space() const {
    Place end = begin_, last = begin_, behind_line = begin_;
    Character next = at(end);
    for (; (next.kind & kWhite) != 0; next = at(end)) {
      last = end;
      end += next.size;
      if ((next.kind & kNewline) != 0) behind_line = end;
    }
    if (kEndsWithLines && behind_line != begin_) return behind_line;
    return next.kind == 0 || last == begin_ ? end : last;
  }

  Place begin_, end_;
};

}  // namespace

std::size_t cut_piece(PiecePattern pattern, std::string_view text) {
  if (text.empty()) return 0;
  const Cutter cutter(text);
  switch (pattern) {
    case PiecePattern::gpt2:
      return cutter.size_up_to(cutter.gpt2());
    case PiecePattern::cl100k:
      return cutter.size_up_to(cutter.cl100k(3));
    case PiecePattern::qwen2:
      return cutter.size_up_to(cutter.cl100k(1));
    case PiecePattern::o200k:
      return cutter.size_up_to(cutter.o200k());
  }
  return 0;
}

}  // namespace megalith
