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

TEST(TextStream, TheFirstCompletedOfSeveralStopStringsCounts) {
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

TEST(TextStream, StopStringsThatShareTheirBeginningAreToldApart) {
  const std::vector<std::string> stops = {"STOP", "STONE", "ST\u00e9", "ST\u00e8!"};
  for (unsigned seed = 0; seed < 50; ++seed) {
    bool stopped = false;
    EXPECT_EQ(shown("a STOVE, STO STONE STOP", stops, seed, &stopped), "a STOVE, STO ");
    EXPECT_TRUE(stopped);
    EXPECT_EQ(shown("ST\u00e8 and ST\u00ea, ST\u00e9", stops, seed, &stopped), "ST\u00e8 and ST\u00ea, ");
    EXPECT_TRUE(stopped);
    EXPECT_EQ(shown("STSTSTO ST\u00e8", stops, seed, &stopped), "STSTSTO ST\u00e8");
    EXPECT_FALSE(stopped);
  }
  TextStream stream(stops);
  EXPECT_EQ(stream.push("ST\xc3"), "");  // the first byte of two stop strings' third character, and of others
  EXPECT_EQ(stream.push("\xaa"), "ST\u00ea");
}

// The text before the stop string that is complete first, byte after byte; of two, before the longer one.
std::string before_first_stop(const std::string& text, const std::vector<std::string>& stops, bool* stopped) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    *stopped = longest > 0;
    if (*stopped) return text.substr(0, end - longest);
  }
  return text;
}

TEST(TextStream, WhereTextStopsDoesNotDependOnHowTokensCutIt) {
  std::mt19937 random(21);
  const std::vector<std::string> letters = {"a", "b", "\u00e9", "\u20ac"};
  const auto word = [&](std::size_t shortest, std::size_t longest) {
    std::string text;
    for (std::size_t n = shortest + random() % (longest - shortest + 1); n > 0; --n)
      text += letters[random() % 4];
    return text;
  };
  int stops_met = 0;
  for (unsigned trial = 0; trial < 2000; ++trial) {
    const std::string text = word(0, 20);
    std::vector<std::string> stops;
    for (std::size_t n = random() % 4; n > 0; --n) stops.push_back(word(1, 4));
    bool expected_stop = false;
    const std::string expected = before_first_stop(text, stops, &expected_stop);
    bool stopped = false;
    EXPECT_EQ(shown(text, stops, trial, &stopped), expected) << text;
    EXPECT_EQ(stopped, expected_stop) << text;
    stops_met += stopped ? 1 : 0;
  }
  EXPECT_GT(stops_met, 500);
  EXPECT_LT(stops_met, 1900);
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
