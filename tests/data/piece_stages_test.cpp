// Pre-tokenizers of stages: the pieces that Hugging Face's rules give, derived by hand beside each case.
#include "data/tokenizer/piece_stages.h"

#include <gtest/gtest.h>

#include "data/tokenizer/oniguruma.h"

namespace megalith {
namespace {

using Kind = PieceStage::Kind;
using Pieces = std::vector<std::string>;

const PieceStage kBytes{.kind = Kind::byte_level};
const PieceStage kGpt2{.kind = Kind::byte_level, .gpt2_pattern = true};

PieceStage split_by(std::string regex, SplitBehavior behavior = SplitBehavior::isolated,
                    bool invert = false) {
  return {.kind = Kind::split, .behavior = behavior, .invert = invert, .pattern = std::move(regex)};
}

Pieces cut(std::vector<PieceStage> stages, std::string_view text) {
  const PieceStages compiled = value_or_throw(PieceStages::compile(stages));
  Pieces pieces;
  PieceStages::Cutter(compiled).cut(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

// The spans of "a--b-" are: a, match, match, b, match.
TEST(PieceStages, DoWithMatchesWhatTheBehaviorSays) {
  const auto with = [](SplitBehavior behavior, bool invert = false) {
    return cut({split_by("-", behavior, invert), kBytes}, "a--b-");
  };
  EXPECT_EQ(with(SplitBehavior::isolated), (Pieces{"a", "-", "-", "b", "-"}));
  EXPECT_EQ(with(SplitBehavior::removed), (Pieces{"a", "b"}));
  EXPECT_EQ(with(SplitBehavior::contiguous), (Pieces{"a", "--", "b", "-"}));
  EXPECT_EQ(with(SplitBehavior::merged_with_previous), (Pieces{"a-", "-", "b-"}));
  EXPECT_EQ(with(SplitBehavior::merged_with_next), (Pieces{"a", "-", "-b", "-"}));
  // Inverted, a and b are the matches.
  EXPECT_EQ(with(SplitBehavior::isolated, true), (Pieces{"a", "-", "-", "b", "-"}));
  EXPECT_EQ(with(SplitBehavior::removed, true), (Pieces{"-", "-", "-"}));
  EXPECT_EQ(with(SplitBehavior::contiguous, true), (Pieces{"a", "--", "b", "-"}));
  EXPECT_EQ(with(SplitBehavior::merged_with_previous, true), (Pieces{"a", "-", "-b", "-"}));
  EXPECT_EQ(with(SplitBehavior::merged_with_next, true), (Pieces{"a-", "-", "b-"}));
}

TEST(PieceStages, CutDigitsPunctuationAndWhiteSpace) {
  EXPECT_EQ(cut({{.kind = Kind::digits, .individual = true}, kBytes}, "a12\xc2\xbd"),
            (Pieces{"a", "1", "2", "\xc2\xbd"}));
  EXPECT_EQ(cut({{.kind = Kind::digits}, kBytes}, "a12 3"), (Pieces{"a", "12", " ", "3"}));
  // The dollar sign is punctuation of ASCII, the inverted question mark of Unicode.
  EXPECT_EQ(cut({{.kind = Kind::punctuation}, kBytes},
                "a$\xc2\xbf"
                "b"),
            (Pieces{"a", "$", "\xc2\xbf", "b"}));
  // U+09FD became punctuation after the version of Unicode that Hugging Face's library knows it by.
  EXPECT_EQ(cut({{.kind = Kind::punctuation}, kBytes}, "a\xe0\xa7\xbd."), (Pieces{"a\xe0\xa7\xbd", "."}));
  EXPECT_EQ(cut({{.kind = Kind::whitespace}, kBytes}, "ab, c "), (Pieces{"ab", ",", "c"}));
  EXPECT_EQ(cut({{.kind = Kind::whitespace_split}, kBytes},
                " ab,\xe2\x80\xa8"
                "c "),
            (Pieces{"ab,", "c"}));
}

TEST(PieceStages, CutThePiecesOfTheStageBefore) {
  // Digits leave "ab ", "1" and " cd"; GPT-2's pattern cuts the space off the end of the first.
  EXPECT_EQ(cut({{.kind = Kind::digits, .individual = true}, kGpt2}, "ab 1 cd"),
            (Pieces{"ab", " ", "1", " cd"}));
  // Every piece gets a space in front, as RoBERTa's text does.
  const PieceStage spaced{.kind = Kind::byte_level, .prefix_space = true};
  EXPECT_EQ(cut({{.kind = Kind::digits}, spaced}, "a1 b"), (Pieces{" a", " 1", " b"}));
}

TEST(PieceStages, BehindByteLevelCutCharactersOfItsAlphabet) {
  // U+0072 U+00B2 is three bytes, 72 C2 B2; the characters that stand for C2 and B2 are a letter and a digit.
  EXPECT_EQ(cut({kGpt2, {.kind = Kind::digits}}, "r\xc2\xb2"), (Pieces{"r", "\xc2", "\xb2"}));
  // Falcon's three digits: GPT-2's pattern leaves "x" and " 1234", and the space has a character of its own.
  EXPECT_EQ(cut({kGpt2, split_by("[0-9][0-9][0-9]")}, "x 1234"), (Pieces{"x", " ", "123", "4"}));
}

TEST(PieceStages, FindEmptyMatchesOnceAndGoOn) {
  // Matches: "" before a, "xx", then "" before b (the one right behind "xx" is refused), "" at the end.
  EXPECT_EQ(cut({split_by("x*"), kBytes}, "axxbc"), (Pieces{"a", "xx", "b", "c"}));
}

TEST(PieceStages, MakeAPieceOfARunOfInvalidBytesAndBoundLongOnes) {
  EXPECT_EQ(cut({split_by("-"), kBytes}, "a-\xff\xfe-"), (Pieces{"a", "-", "\xff\xfe", "-"}));
  const Pieces pieces = cut({kBytes}, "a" + std::string(PieceSplitter::kLongestPiece, 'b'));
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].size(), PieceSplitter::kLongestPiece);
}

TEST(PieceStages, RefuseToCutWhereAPatternTakesExponentialTime) {
  EXPECT_THROW(cut({split_by("(a+)+b"), kBytes}, std::string(64, 'a') + "cb"), RefusedInput);
}

TEST(Oniguruma, MeansTheSameToThePatternLibrary) {
  const auto pieces = [](const char* regex, std::string_view text) {
    return cut({split_by(regex), kBytes}, text);
  };
  // A class within a class belongs to it; PCRE2 by itself would end the class at the first bracket.
  EXPECT_EQ(pieces(" ?[^(\\s|[.,!?])]+", "ab, (c)"), (Pieces{"ab", ", (", "c", ")"}));
  // The end of a line is an end for $, and {,2} a repeat.
  EXPECT_EQ(pieces("a$", "a\nba"), (Pieces{"a", "\nb", "a"}));
  EXPECT_EQ(pieces("^a{,2}b", "aab"), (Pieces{"aab"}));
  // U+180E is white space to PCRE2 alone.
  EXPECT_EQ(pieces("\\s",
                   "a\xe1\xa0\x8e"
                   "b"),
            (Pieces{"a\xe1\xa0\x8e"
                    "b"}));
  // The half is a word by itself, not in a class.
  EXPECT_EQ(pieces("\\w", "\xc2\xbd-\xc2\xbd"), (Pieces{"\xc2\xbd", "-", "\xc2\xbd"}));
  EXPECT_EQ(pieces("[\\w]", "\xc2\xbd-\xc2\xbd"), (Pieces{"\xc2\xbd-\xc2\xbd"}));
  EXPECT_EQ(pieces("(?i:'s|'t)", "'S'\xc5\xbf"), (Pieces{"'S", "'\xc5\xbf"}));
}

TEST(Oniguruma, RefusesByNameWhatMayMeanSomethingElse) {
  for (const char* regex : {"(a)\\1",
                            "(?i)a",
                            "(?<name>a)",
                            "\\h",
                            "\\R",
                            "\\X",
                            "\\Ga",
                            "a\\Kb",
                            "a\\Z",
                            "[a&&b]",
                            "[a[^b]]",
                            "[[:alpha:]]",
                            "\\p{Alpha}",
                            "\\p{Punct}",
                            "\\pL",
                            "\\b",
                            "a\\B",
                            "\\xe4",
                            "a{2}+",
                            "a{2}?",
                            "a**",
                            "*a",
                            "a{",
                            "a{3,1}",
                            "(a",
                            "a)",
                            "[a",
                            "[]a]",
                            "[b-a]",
                            "[a-\\w]",
                            "[\\w-z]",
                            "[\\b]",
                            "(?i:ss)",
                            "(?i:stra)",
                            "(?i:s+)",
                            "(?i:\\w)",
                            "(?i:\xc3\xa9)",
                            "(?i:[^a])",
                            "(?=a)*",
                            "(*UCP)a",
                            "(?#a)",
                            "(?>a",
                            "\\"}) {
    const auto source = pcre2_source_of_oniguruma(regex);
    ASSERT_FALSE(source) << regex;
    EXPECT_NE(to_string(source.error()).find("at byte"), std::string::npos) << regex;
  }
  EXPECT_FALSE(pcre2_source_of_oniguruma(std::string(100, '(') + std::string(100, ')')));
  EXPECT_FALSE(
      PieceStages::compile({split_by("(?<=a+)b"), kBytes}));  // PCRE2 looks back by known lengths only
}

}  // namespace
}  // namespace megalith
