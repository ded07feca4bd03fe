// The pattern's pieces and the merges inside them, on texts that people do not write.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>

#include "data/tokenizer/bpe_merges.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/piece_splitter.h"
#include "data/tokenizer/quoted.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(std::string_view text, PiecePattern pattern = PiecePattern::gpt2,
             PieceSplitter::Engine engine = PieceSplitter::Engine::by_hand) {
  const PieceSplitter splitter(pattern, engine);
  PieceSplitter::Walk walk(splitter, text);
  Pieces pieces;
  for (std::string_view piece; walk.next(piece);) pieces.emplace_back(piece);
  return pieces;
}

std::string joined(const Pieces& pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), std::string());
}

// Letters, digits, spaces of all kinds, marks, cut and overlong sequences, surrogates.
std::string random_text(std::mt19937& random) {
  static const Pieces kParts = {"a",
                                "B",
                                "é",
                                "字",
                                "1",
                                "½",
                                " ",
                                " ",
                                "\n",
                                "\t",
                                "\xc2\x85",
                                "\u00a0",
                                "\u2003",
                                "\u180e",
                                "'s",
                                "'ll",
                                "'",
                                "!",
                                "\U0001F999",
                                "\u0301",
                                "\xff",
                                "\xc3",
                                "\xe2\x82",
                                "\xc0\x80",
                                "\xed\xa0\x80",
                                "\xf4\x90\x80\x80",
                                std::string(1, '\0')};
  std::string text;
  for (unsigned i = random() % 60; i > 0; --i) text += kParts[random() % kParts.size()];
  return text;
}

TEST(PieceSplitter, CutsAsThePatternSays) {
  EXPECT_EQ(split("Hello world"), (Pieces{"Hello", " world"}));
  EXPECT_EQ(split("y'all'll  go   "), (Pieces{"y", "'", "all", "'ll", " ", " go", "   "}));
  EXPECT_EQ(split("a 12b!!\n\n c"), (Pieces{"a", " 12", "b", "!!", "\n\n", " c"}));
  EXPECT_EQ(split(""), Pieces{});
}

TEST(PieceSplitter, TakesUnicodesWhiteSpaceAndNotPcresOwn) {
  EXPECT_EQ(split("a\xc2\x85\u3000\n"), (Pieces{"a", "\xc2\x85\u3000\n"}));
  EXPECT_EQ(split("a\u180e!"), (Pieces{"a", "\u180e!"}));  // PCRE2 counts U+180E among \s
}

TEST(PieceSplitter, MakesOnePieceOfARunOfInvalidBytes) {
  EXPECT_EQ(split("ab\xff\xfe\xc3 c"), (Pieces{"ab", "\xff\xfe\xc3", " c"}));
  EXPECT_EQ(split("  \xff"), (Pieces{"  ", "\xff"}));  // the text ends before the invalid byte
  EXPECT_EQ(split("\xed\xa0\x80"), (Pieces{"\xed\xa0\x80"}));
}

TEST(PieceSplitter, PutsEveryByteIntoOnePieceWithBothEngines) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_text(random);
    const Pieces pieces = split(text);
    EXPECT_EQ(joined(pieces), text);
    EXPECT_EQ(pieces, split(text, PiecePattern::gpt2, PieceSplitter::Engine::interpreter)) << text;
  }
}

TEST(PieceSplitter, CutsALongPieceAtTheLimitAndNotInsideACharacter) {
  constexpr std::size_t kLimit = PieceSplitter::kLongestPiece;
  for (const char* unit : {"a", "€", " ", "\xff", "\xe2\x82"}) {
    std::string text = "x";
    while (text.size() < 2 * kLimit + 5) text += unit;
    const Pieces pieces = split(text);
    EXPECT_EQ(joined(pieces), text);
    for (const std::string& piece : pieces) {
      EXPECT_LE(piece.size(), kLimit);
      EXPECT_TRUE(valid_utf8_prefix(text) < text.size() || valid_utf8_prefix(piece) == piece.size());
    }
  }
  // A valid sequence behind a run of invalid bytes that ends at the limit stays whole.
  EXPECT_EQ(split(std::string(kLimit - 1, '\xff') + "é").back(), "é");
}

TEST(SafeCut, ChangesNoPiece) {
  std::mt19937 random(4);
  int cuts = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_text(random);
    const std::size_t cut = last_safe_cut(text, random() % 60);
    ASSERT_LE(cut, text.size());
    cuts += cut > 0 ? 1 : 0;
    Pieces parts = split(text.substr(0, cut));
    for (const std::string& piece : split(text.substr(cut))) parts.push_back(piece);
    EXPECT_EQ(parts, split(text)) << text;
  }
  EXPECT_GT(cuts, 500);
}

TEST(Utf8, AcceptsEveryCodePointAndNothingElse) {
  for (std::uint32_t point = 0; point <= 0x110000; ++point) {
    std::string text;
    if (point < 0x80) {
      text = {static_cast<char>(point)};
    } else if (point < 0x800) {
      text = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))};
    } else if (point < 0x10000) {
      text = {static_cast<char>(0xE0 | point >> 12), static_cast<char>(0x80 | (point >> 6 & 0x3F)),
              static_cast<char>(0x80 | (point & 0x3F))};
    } else {
      text = {static_cast<char>(0xF0 | point >> 18), static_cast<char>(0x80 | (point >> 12 & 0x3F)),
              static_cast<char>(0x80 | (point >> 6 & 0x3F)), static_cast<char>(0x80 | (point & 0x3F))};
    }
    const bool exists = point < 0x110000 && (point < 0xD800 || point > 0xDFFF);
    ASSERT_EQ(utf8_sequence_length(text), exists ? text.size() : 0) << point;
    ASSERT_EQ(utf8_sequence_length(std::string_view(text).substr(0, text.size() - 1)), 0u) << point;
  }
  for (const char* overlong :
       {"\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_EQ(utf8_sequence_length(overlong), 0u);
  }
}

TEST(ByteLevel, GivesEveryByteACharacterAndBack) {
  EXPECT_EQ(byte_level_key(" a\n"), "ĠaĊ");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(byte_level_bytes(byte_level_key(all)), all);
  for (const char* outside : {" ", "\n", "\u00ad", "\u0144", "字", "\xc4", "\xff"}) {
    EXPECT_EQ(byte_level_bytes(outside), std::nullopt);
  }
}

TEST(QuotedText, IsAlwaysShortAndPrintable) {
  EXPECT_EQ(quoted_for_message("a\n\xff\xc3 é"), "\"a??? é\"");
  const std::string quoted = quoted_for_message(std::string(39, 'a') + "字字");
  EXPECT_EQ(quoted, '"' + std::string(39, 'a') + "字...\"");
}

// The definition: search the whole piece for the least rank, merge the leftmost, start over.
std::vector<std::int32_t> plain_merge(const MergeTable& table, std::vector<std::int32_t> ids) {
  while (true) {
    MergeTable::Found best;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const MergeTable::Found found = table.find(ids[i], ids[i + 1]);
      if (found.rank < best.rank) best = found, at = i;
    }
    if (best.rank == MergeTable::kNoRank) return ids;
    ids[at] = best.merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(PieceMerger, EqualsTheDefinitionForShortAndLongPieces) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    MergeTable table(40);  // any pairs, in any order, results of later merges included
    // Ids of bytes, ids beyond, and some of both.
    const std::int32_t first = std::array{0, 268, 1000}[static_cast<std::size_t>(round % 3)];
    const auto id = [&] { return first + static_cast<std::int32_t>(random() % 8); };
    for (std::uint32_t rank = 0; rank < 40; ++rank) {
      table.add({.left = id(), .right = id(), .merged = id()}, rank);
    }
    std::vector<std::int32_t> ids(random() % 200);
    std::generate(ids.begin(), ids.end(), id);
    const std::vector<std::int32_t> expected = plain_merge(table, ids);
    ids.resize(PieceMerger(table).merge(ids));
    EXPECT_EQ(ids, expected);
  }
}

TEST(MergeTable, KeepsTheFirstOfTwoEqualPairs) {
  MergeTable table(2);
  EXPECT_TRUE(table.add({.left = 1, .right = 2, .merged = 3}, 0));
  EXPECT_FALSE(table.add({.left = 1, .right = 2, .merged = 4}, 1));
  EXPECT_EQ(table.find(1, 2).merged, 3);
  EXPECT_EQ(table.find(2, 1).rank, MergeTable::kNoRank);
}

}  // namespace
}  // namespace megalith
