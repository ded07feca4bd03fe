#include "app/sample_checks.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace megalith::app {
namespace {

SampleChecks check(const std::string& sample, std::string_view training) {
  return check_samples(std::vector<std::string>{sample}, training);
}

TEST(SampleChecks, CountsKnownWordsOfFourLettersOrMore) {
  const SampleChecks checks = check("The HACKER wrote a frobnitz, and a hacker.", "a hacker who wrote it");
  EXPECT_EQ(checks.words, 4u);  // hacker, wrote, frobnitz, hacker
  EXPECT_DOUBLE_EQ(checks.known_share, 0.75);
}

TEST(SampleChecks, DoNotJudgeWordsThatTheEndsOfASampleCut) {
  const SampleChecks checks = check("acker wrote a progr", "a hacker wrote a program");
  EXPECT_EQ(checks.words, 1u);
  EXPECT_DOUBLE_EQ(checks.known_share, 1.0);
  EXPECT_EQ(check("onewordonly", "text").words, 0u);
}

TEST(SampleChecks, KnowTheLettersOfOtherScriptsFromFramesAndQuotes) {
  const SampleChecks checks =
      check("(Größe, \u201cслово\u201d \u2502\u2502\u2502\u2502 \xff\xff\xff\xff)", "Größe");
  EXPECT_EQ(checks.words, 2u);
  EXPECT_DOUBLE_EQ(checks.known_share, 0.5);
  std::string frame;
  for (int i = 0; i < 40; ++i) frame += " \u2502";
  EXPECT_EQ(check(frame, "").most_repeats, 0u);
}

TEST(SampleChecks, OfSamplesWithoutWordsAreHarmless) {
  const SampleChecks checks = check_samples({}, "text");
  EXPECT_EQ(checks.words, 0u);
  EXPECT_EQ(checks.longest_copy, 0u);
  EXPECT_EQ(check("...", "").longest_copy, 0u);
}

TEST(SampleChecks, FindRunsOfEightWordsThatRepeat) {
  const std::string run = "one two three four five six seven eight ";
  EXPECT_EQ(check(run + run, "").most_repeats, 2u);
  EXPECT_EQ(check(run + run, "").repeated_words, "");
  const SampleChecks thrice = check(run + "nine " + run + "ten " + run, "");
  EXPECT_EQ(thrice.most_repeats, 3u);
  EXPECT_EQ(thrice.repeated_words, "one two three four five six seven eight");
}

TEST(SampleChecks, DoNotCountRunsAcrossSamples) {
  const std::string run = "one two three four five six seven eight";
  EXPECT_EQ(check_samples(std::vector<std::string>{run, run, run}, "").most_repeats, 1u);
}

TEST(SampleChecks, FindTheLongestCopy) {
  const SampleChecks checks = check("xx the quick brown fox yy", "zz the quick brown fox ww the quick");
  EXPECT_EQ(checks.copied_text, " the quick brown fox ");
  EXPECT_EQ(checks.longest_copy, 21u);
  EXPECT_EQ(check("abc", "xyz").longest_copy, 0u);
  EXPECT_EQ(check("abc", "abc").longest_copy, 3u);
}

TEST(SampleChecks, FindTheLongestCopyLikeAComparisonOfAllPlaces) {
  std::uint32_t seed = 7;
  const auto random_text = [&](std::size_t size) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) {
      seed = seed * 1664525u + 1013904223u;
      text += static_cast<char>('a' + (seed >> 30));
    }
    return text;
  };
  for (int round = 0; round < 20; ++round) {
    const std::string sample = random_text(60);
    const std::string training = random_text(300);
    std::size_t longest = 0;
    for (std::size_t start = 0; start < sample.size(); ++start) {
      for (std::size_t size = longest + 1; start + size <= sample.size(); ++size) {
        if (training.find(sample.substr(start, size)) == std::string::npos) break;
        longest = size;
      }
    }
    EXPECT_EQ(check(sample, training).longest_copy, longest);
  }
}

}  // namespace
}  // namespace megalith::app
