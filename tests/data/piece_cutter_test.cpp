// Cutting by hand gives the pieces of the pattern library: on every code point among neighbours that matter,
// on every short string of the kinds of ASCII, and on long random strings of what the patterns tell apart.
#include "data/tokenizer/piece_cutter.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "data/tokenizer/character_kind.h"
#include "data/tokenizer/piece_splitter.h"

namespace megalith {
namespace {

constexpr std::array kPatterns = {PiecePattern::gpt2, PiecePattern::cl100k, PiecePattern::qwen2,
                                  PiecePattern::o200k};
constexpr std::uint32_t kCodePoints = 0x110000;

bool is_surrogate(std::uint32_t point) {
  return point >= 0xD800 && point <= 0xDFFF;
}

std::string utf8(std::uint32_t point) {
  std::string text;
  const auto push = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (point < 0x80) {
    push(point);
  } else if (point < 0x800) {
    push(0xC0 | point >> 6), push(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    push(0xE0 | point >> 12), push(0x80 | (point >> 6 & 0x3F)), push(0x80 | (point & 0x3F));
  } else {
    push(0xF0 | point >> 18), push(0x80 | (point >> 12 & 0x3F)), push(0x80 | (point >> 6 & 0x3F));
    push(0x80 | (point & 0x3F));
  }
  return text;
}

// Walks over the same texts with both engines.
class Comparison {
 public:
  explicit Comparison(PiecePattern pattern)
      : pattern_(pattern),
        ours_(PieceSplitter(pattern), ""),
        theirs_(PieceSplitter(pattern, PieceSplitter::Engine::just_in_time), "") {}

  // The pieces that PCRE2 cuts, or a failure where ours are others.
  void expect_equal(std::string_view text) {
    ours_.restart(text);
    theirs_.restart(text);
    std::size_t at = 0;
    for (std::string_view piece, expected; theirs_.next(expected); at += expected.size()) {
      ASSERT_TRUE(ours_.next(piece));
      ASSERT_EQ(piece, expected) << name_of(pattern_) << ", byte " << at << " of: " << text;
    }
    std::string_view more;
    ASSERT_FALSE(ours_.next(more));
  }

 private:
  PiecePattern pattern_;
  PieceSplitter::Walk ours_, theirs_;
};

TEST(PieceCutter, CutsEveryCodePointAloneAndAmongNeighboursAsThePatternLibraryDoes) {
  for (const PiecePattern pattern : kPatterns) {
    Comparison comparison(pattern);
    for (std::uint32_t point = 0; point < kCodePoints; ++point) {
      if (is_surrogate(point)) continue;
      const std::string c = utf8(point);
      comparison.expect_equal(c);
      // The planes without any assigned characters look alike to their neighbours.
      if ((point >= 0x40000 && point < 0xE0000) || point >= 0xF0000) continue;
      // Lower and upper case, uncased, mark, number, sign and white space before and behind, and the letters
      // of contractions.
      comparison.expect_equal("a" + c + "aA" + c + "A中" + c + "\u0301" + c + "1" + c + "23!" + c + "/ " + c +
                              "\n" + c + " " + c + c + "'" + c + "e'l" + c);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PieceCutter, CutsEveryShortStringOfTheKindsOfCharactersAsThePatternLibraryDoes) {
  const std::vector<std::string> kinds = {"s", "D", "l", "x", " ",  "'",      "0", "\t",     "\n", "\r",
                                          "!", "/", "é", "Ж", "中", "\u0301", "²", "\u3000", "ſ",  "\xff"};
  const std::size_t n = kinds.size();
  for (const PiecePattern pattern : kPatterns) {
    Comparison comparison(pattern);
    for (std::size_t code = 0; code < n * n * n * n; ++code) {
      comparison.expect_equal(kinds[code % n] + kinds[code / n % n] + kinds[code / n / n % n] +
                              kinds[code / n / n / n]);
      if (HasFatalFailure()) return;
    }
  }
}

// Characters of every kind and length in bytes, with those that fold to ASCII, and bytes that are not UTF-8.
const std::vector<std::string>& tricky_parts() {
  static const std::vector<std::string> parts = {"a",
                                                 "b",
                                                 "s",
                                                 "S",
                                                 "t",
                                                 "T",
                                                 "LL",
                                                 "ll",
                                                 "re",
                                                 "RE",
                                                 "Ve",
                                                 "m",
                                                 "M",
                                                 "D",
                                                 "d",
                                                 "l",
                                                 "r",
                                                 "v",
                                                 "e",
                                                 "Z",
                                                 "word",
                                                 "Word",
                                                 "WORDS",
                                                 "0",
                                                 "12",
                                                 "3456",
                                                 "'",
                                                 "'",
                                                 "''",
                                                 "\u2019",
                                                 " ",
                                                 " ",
                                                 "  ",
                                                 "\t",
                                                 "\n",
                                                 "\r",
                                                 "\r\n",
                                                 "\n\n",
                                                 "\v",
                                                 "\f",
                                                 "!",
                                                 "?",
                                                 "/",
                                                 "//",
                                                 "_",
                                                 "-",
                                                 "{",
                                                 "\x7f",
                                                 "\x1c",
                                                 std::string(1, '\0'),
                                                 "é",
                                                 "É",
                                                 "ß",
                                                 "ſ",
                                                 "\u212a",
                                                 "ǅ",
                                                 "ʰ",
                                                 "ª",
                                                 "Ж",
                                                 "ж",
                                                 "中",
                                                 "字",
                                                 "あ",
                                                 "ー",
                                                 "ا",
                                                 "\u0301",
                                                 "\u0903",
                                                 "\u20dd",
                                                 "²",
                                                 "½",
                                                 "٣",
                                                 "Ⅷ",
                                                 "ⓐ",
                                                 "\u0085",
                                                 "\u00a0",
                                                 "\u1680",
                                                 "\u2003",
                                                 "\u2028",
                                                 "\u202f",
                                                 "\u205f",
                                                 "\u3000",
                                                 "\u180e",
                                                 "\u200b",
                                                 "\u200d",
                                                 "\ufeff",
                                                 "€",
                                                 "、",
                                                 "𝐀",
                                                 "𝐚",
                                                 "𝟗",
                                                 "𐐀",
                                                 "🙂",
                                                 "\U000e0100",
                                                 "\U0010ffff",
                                                 "\xff",
                                                 "\xc3",
                                                 "\xe2\x82",
                                                 "\xf0\x9f\x99",
                                                 "\xc0\x80",
                                                 "\xed\xa0\x80",
                                                 "\xf4\x90\x80\x80"};
  return parts;
}

TEST(PieceCutter, CutsRandomStringsAsThePatternLibraryDoes) {
  const std::vector<std::string>& parts = tricky_parts();
  for (const PiecePattern pattern : kPatterns) {
    std::mt19937 random(3);
    Comparison comparison(pattern);
    for (int i = 0; i < 100000; ++i) {
      std::string text;
      // A small alphabet half of the time, for long runs of the same few kinds.
      std::array<std::size_t, 4> few{};
      for (std::size_t& part : few) part = random() % parts.size();
      const bool from_few = i % 2 == 0;
      for (std::size_t count = random() % 24; count > 0; --count) {
        text += parts[from_few ? few[random() % few.size()] : random() % parts.size()];
      }
      comparison.expect_equal(text);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PieceCutter, CutsRandomCodePointsAndBytesAsThePatternLibraryDoes) {
  for (const PiecePattern pattern : kPatterns) {
    std::mt19937 random(4);
    Comparison comparison(pattern);
    for (int i = 0; i < 50000; ++i) {
      std::string text;
      for (std::size_t count = random() % 20; count > 0; --count) {
        const std::uint32_t point = random() % (random() % 2 == 0 ? 0x3000u : 0x20000u);
        if (random() % 8 == 0) {
          text += static_cast<char>(random() % 256);
        } else if (!is_surrogate(point)) {
          text += utf8(point);
        }
      }
      comparison.expect_equal(text);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PieceCutter, ComparesWithAnOracleThatATextOfAnotherPatternFails) {
  // The other side of these tests: had the cutter mistaken one pattern for another, they would have told.
  for (const auto& [one, other, text] : {std::tuple{PiecePattern::gpt2, PiecePattern::cl100k, "1234"},
                                         std::tuple{PiecePattern::cl100k, PiecePattern::qwen2, "12"},
                                         std::tuple{PiecePattern::cl100k, PiecePattern::o200k, "aB"},
                                         std::tuple{PiecePattern::gpt2, PiecePattern::o200k, "!/\n/"}}) {
    EXPECT_NE(cut_piece(one, text), cut_piece(other, text)) << text;
  }
}

TEST(CharacterKinds, AreOneForEachCodePointAndAgreeWithTheTableOfAscii) {
  const CharacterKinds& kinds = CharacterKinds::of_pattern_library();
  for (std::uint32_t point = 0; point < kCodePoints; ++point) {
    const int bits = std::popcount(kinds[point]);
    ASSERT_EQ(bits, is_surrogate(point) ? 0 : 1) << point;
    if (point < 0x80) {
      ASSERT_EQ(kinds[point], kAsciiKinds[point]) << point;
    }
  }
  EXPECT_EQ(kinds[0x4E2D], kUncased);
  EXPECT_EQ(kinds[0x01C5], kUpper);   // a title-case letter
  EXPECT_EQ(kinds[0x180E], kSymbol);  // PCRE2 counts it among \s, Unicode does not
  EXPECT_EQ(kinds[0x3000], kSpace);
}

}  // namespace
}  // namespace megalith
