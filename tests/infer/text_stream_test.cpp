#include "infer/text_stream.h"

#include <gtest/gtest.h>

#include <random>

namespace megalith {
namespace {

// What a reader has seen when `bytes` came in pieces of random length.
std::string shown(const std::string& bytes, const std::vector<std::string>& stops, unsigned seed,
                  bool* stopped) {
  std::mt19937 random(seed);
  TextStream stream(stops);
  std::string text;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = random() % 4;
    const std::string piece = stream.push(std::string_view(bytes).substr(at, length));
    EXPECT_EQ(whole_characters(piece), piece.size());
    EXPECT_EQ(to_valid_utf8(piece), piece);
    text += piece;
    at += length;
  }
  text += stream.finish();
  *stopped = stream.stopped();
  return text;
}

TEST(TextStream, ShowsWholeCharactersHoweverTheTokensCutThem) {
  const std::string text = "a\u00e4\u20ac\U0001f600z \u4e2d\u6587";
  TextStream stream;
  EXPECT_EQ(stream.push("\xe2\x82"), "");
  EXPECT_EQ(stream.push("\xac"), "\u20ac");
  for (unsigned seed = 0; seed < 50; ++seed) {
    bool stopped = true;
    EXPECT_EQ(shown(text, {}, seed, &stopped), text);
    EXPECT_FALSE(stopped);
  }
}

TEST(TextStream, EndsBeforeAStopStringThatTokensCut) {
  const std::string text = "one two STOP three";
  for (unsigned seed = 0; seed < 50; ++seed) {
    bool stopped = false;
    EXPECT_EQ(shown(text, {"STOP", "never"}, seed, &stopped), "one two ");
    EXPECT_TRUE(stopped);
  }
}

TEST(TextStream, GivesBackWhatOnlyBeganLikeAStopString) {
  const std::string text = "one STO two ST ohne S";
  for (unsigned seed = 0; seed < 50; ++seed) {
    bool stopped = true;
    EXPECT_EQ(shown(text, {"STOP"}, seed, &stopped), text);
    EXPECT_FALSE(stopped);
  }
}

TEST(TextStream, TheEarliestOfSeveralStopStringsCounts) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    bool stopped = false;
    EXPECT_EQ(shown("aXbYc", {"Y", "X"}, seed, &stopped), "a");
    EXPECT_EQ(shown("\u20ac\u20ad!", {"\u20ad"}, seed, &stopped), "\u20ac");
  }
  TextStream overlapping({"aab"});
  EXPECT_EQ(overlapping.push("a"), "");
  EXPECT_EQ(overlapping.push("aa"), "a");
  EXPECT_EQ(overlapping.push("b"), "");
  EXPECT_TRUE(overlapping.stopped());
  EXPECT_EQ(overlapping.push("more"), "");
  EXPECT_EQ(overlapping.finish(), "");
}

TEST(TextStream, AnEmptyStopStringStopsNothing) {
  TextStream stream({""});
  EXPECT_EQ(stream.push("text"), "text");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, BytesThatAreNoCharacterBecomeReplacementCharacters) {
  EXPECT_EQ(to_valid_utf8("a\xff\xc0z"), "a\ufffd\ufffdz");
  EXPECT_EQ(to_valid_utf8("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");            // a surrogate
  EXPECT_EQ(to_valid_utf8("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");  // past U+10FFFF
  EXPECT_EQ(to_valid_utf8("\xc0\x80"), "\ufffd\ufffd");                      // overlong
  TextStream stream;
  EXPECT_EQ(stream.push("ok\xe2\x82"), "ok");
  EXPECT_EQ(stream.finish(), "\ufffd\ufffd");
}

TEST(TextStream, RandomBytesInAnyPiecesGiveTheTextOfTheWhole) {
  std::mt19937 random(9);
  const char alphabet[] = {'a', 'b', '\x80', '\xc3', '\xe2', '\x82', '\xac', '\xf0', '\x9f', '\xff'};
  for (unsigned trial = 0; trial < 300; ++trial) {
    std::string bytes;
    for (int i = 0; i < 30; ++i) bytes += alphabet[random() % sizeof(alphabet)];
    bool stopped = true;
    // A cut may fall inside a sequence that turns out to be broken: each of its bytes is replaced either way.
    EXPECT_EQ(shown(bytes, {}, trial, &stopped), to_valid_utf8(bytes));
  }
}

}  // namespace
}  // namespace megalith
