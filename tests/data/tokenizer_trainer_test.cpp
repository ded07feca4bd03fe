// BPE training learns the merges that the definition asks for, whatever the number of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <sstream>

#include "core/file.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/piece_counts.h"
#include "data/tokenizer/piece_splitter.h"
#include "data/tokenizer/piece_tally.h"
#include "data/tokenizer/tokenizer_model.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

Expected<Tokenizer> train(std::vector<std::string> texts, const BpeTrainingOptions& options,
                          BpeTrainingReport* report = nullptr) {
  TextsInMemory source(std::move(texts));
  return train_bpe(source, options, report);
}

std::vector<std::string> merge_lines(const Tokenizer& tokenizer) {
  std::vector<std::string> lines;
  for (const Merge& merge : tokenizer.model().parts.merges) {
    lines.push_back(byte_level_key(tokenizer.bytes_of(merge.left)) + " " +
                    byte_level_key(tokenizer.bytes_of(merge.right)));
  }
  return lines;
}

// Text of many repeated words, with runs of one letter among them (their pairs overlap).
std::string random_text(unsigned seed, std::size_t words) {
  std::mt19937 random(seed);
  std::string text;
  for (std::size_t i = 0; i < words; ++i) {
    const unsigned letters = 1 + random() % 6, kind = random() % 3;
    for (unsigned j = 0; j < letters; ++j) text += static_cast<char>('a' + random() % (kind + 1));
    text += random() % 9 == 0 ? "\n" : " ";
  }
  return text;
}

TEST(BpeTraining, EqualsTheReferenceMergesAndVocabulary) {
  const fs::path folder = fs::path(MEGALITH_SHARED_DIR) / "data/tokenizers/bpe-train";
  if (!fs::exists(folder)) GTEST_SKIP() << "no reference under " << folder;
  const Tokenizer tokenizer = value_or_throw(
      train({value_or_throw(read_file(folder / "corpus.en", 1 << 20))}, {.vocabulary_size = 500}));
  std::vector<std::string> expected;
  std::istringstream lines(value_or_throw(read_file(folder / "train-bpe-reference-merges.txt", 1 << 20)));
  for (std::string line; std::getline(lines, line);) expected.push_back(line);
  EXPECT_EQ(expected.size(), 243u);
  EXPECT_EQ(merge_lines(tokenizer), expected);

  std::string all_merges;
  for (const std::string& line : expected) all_merges += line + "\n";
  const Tokenizer reference = value_or_throw(Tokenizer::parse_gpt2_files(
      value_or_throw(read_file(folder / "train-bpe-reference-vocab.json", 1 << 20)), "vocab", all_merges,
      "merges"));
  EXPECT_EQ(tokenizer.vocabulary_size(), 500);
  EXPECT_EQ(tokenizer.end_of_document(), 0);
  EXPECT_EQ(tokenizer.digest(), reference.digest());
}

// The definition, without any of the trainer's bookkeeping: count all pairs anew for every merge.
std::vector<std::string> plain_training(const std::string& text, std::size_t num_merges) {
  using Symbols = std::vector<std::string>;
  std::map<Symbols, std::int64_t> words;
  const PieceSplitter splitter;
  PieceSplitter::Walk walk(splitter, text);
  for (std::string_view piece; walk.next(piece);) {
    Symbols symbols;
    for (const char c : piece) symbols.emplace_back(1, c);
    ++words[symbols];
  }
  std::vector<std::string> merges;
  while (merges.size() < num_merges) {
    std::map<std::pair<std::string, std::string>, std::int64_t> counts;
    for (const auto& [word, count] : words) {
      for (std::size_t i = 0; i + 1 < word.size(); ++i) counts[{word[i], word[i + 1]}] += count;
    }
    auto best = counts.begin();
    for (auto at = counts.begin(); at != counts.end(); ++at) {
      if (at->second >= best->second) best = at;  // ties: the last in order is the greatest
    }
    if (best == counts.end() || best->second < 2) break;
    const auto& [left, right] = best->first;
    merges.push_back(byte_level_key(left) + " " + byte_level_key(right));
    std::map<Symbols, std::int64_t> after;
    for (const auto& [word, count] : words) {
      Symbols symbols;
      for (std::size_t i = 0; i < word.size(); ++i) {
        const bool both = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
        symbols.push_back(both ? left + right : word[i]);
        i += both ? 1 : 0;
      }
      after[symbols] += count;
    }
    words = std::move(after);
  }
  return merges;
}

TEST(BpeTraining, EqualsTheDefinitionOnTextsFullOfTiesAndRuns) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const std::string text = random_text(seed, 300);
    const Tokenizer tokenizer = value_or_throw(train({text}, {.vocabulary_size = 257 + 60}));
    std::vector<std::string> merges = merge_lines(tokenizer);
    EXPECT_EQ(merges, plain_training(text, merges.size())) << "seed " << seed;
    EXPECT_GT(merges.size(), 40u);
  }
}

TEST(BpeTraining, DoesNotDependOnTheNumberOfThreads) {
  std::vector<std::string> texts;
  for (unsigned i = 0; i < 40; ++i) texts.push_back(random_text(i, 4000));
  texts.push_back(random_text(99, 700000));  // several slices
  const std::string one = value_or_throw(train(texts, {.vocabulary_size = 600})).to_json();
  for (const int threads : {2, 3, 8}) {
    EXPECT_EQ(value_or_throw(train(texts, {.vocabulary_size = 600, .num_threads = threads})).to_json(), one);
  }
}

TEST(BpeTraining, ForgetsTheSamePiecesWithAnyNumberOfThreads) {
  std::string text;  // two batches, mostly of words that occur once
  std::mt19937 random(1);
  while (text.size() < (9u << 20)) text += fmt::format("the w{} ", random() % 100000000);
  BpeTrainingOptions options{.vocabulary_size = 400, .most_distinct_bytes = 1 << 20};
  BpeTrainingReport report, report_of_three;
  const std::string one = value_or_throw(train({text}, options, &report)).to_json();
  options.num_threads = 3;
  EXPECT_EQ(value_or_throw(train({text}, options, &report_of_three)).to_json(), one);
  EXPECT_GT(report.forgotten_pieces, 0);
  EXPECT_EQ(report.forgotten_pieces, report_of_three.forgotten_pieces);
  EXPECT_LT(report.distinct_pieces, report.pieces / 2);
}

TEST(PieceCounts, AreThoseOfTheWholeTextAlthoughItIsCutIntoSlices) {
  const std::string text = random_text(5, 1000000);
  std::map<std::string, std::int64_t> expected;
  const PieceSplitter splitter;
  PieceSplitter::Walk walk(splitter, text);
  for (std::string_view piece; walk.next(piece);) ++expected[std::string(piece)];
  TextsInMemory source({text});
  const PieceCounts counts = count_pieces(source, 2, 1 << 30);
  ASSERT_EQ(counts.pieces.size(), expected.size());
  for (const CountedPiece& piece : counts.pieces)
    EXPECT_EQ(expected[piece.bytes], piece.count) << piece.bytes;
  EXPECT_EQ(counts.text_bytes, text.size());
  EXPECT_EQ(counts.forgotten, 0);
}

TEST(PieceTally, CountsAndForgetsAsAMapDoes) {
  std::mt19937 random(7);
  std::map<std::string, std::int64_t> expected;
  PieceTally tally, other;
  std::int64_t taken = 0, expected_taken = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string piece(1 + random() % 18, 'x');  // short and long ones
    for (int i = 0; i < 3; ++i) piece[random() % piece.size()] = static_cast<char>(random() % 4);
    PieceTally& one = round % 3 == 0 ? other : tally;
    if (piece.size() <= ShortPiece::kMostBytes) {
      one.add(ShortPiece::of(piece, piece.data() + piece.size()), 1);
    } else {
      one.add(piece, 1);
    }
    ++expected[piece];
    if (round % 60000 != 0) continue;
    tally.add(other);
    other.clear();
    taken += tally.take_out_up_to(2);
    std::erase_if(expected, [&](const auto& entry) {
      if (entry.second > 2) return false;
      expected_taken += entry.second;
      return true;
    });
  }
  tally.add(other);
  std::map<std::string, std::int64_t> counted;
  tally.for_each([&](const std::string& piece, std::int64_t count) { counted[piece] += count; });
  EXPECT_EQ(counted, expected);
  EXPECT_EQ(taken, expected_taken);
  EXPECT_GT(taken, 1000);
  std::size_t bytes = 0;
  for (const auto& [piece, count] : expected) bytes += piece.size();
  EXPECT_EQ(tally.bytes(), bytes);
  EXPECT_EQ(tally.num_pieces(), expected.size());
}

TEST(BpeTraining, GivesASmallerVocabularyWhereTheTextHasNoMorePairs) {
  EXPECT_EQ(value_or_throw(train({"abab"}, {.vocabulary_size = 1000})).vocabulary_size(), 257 + 1);
  EXPECT_EQ(value_or_throw(train({}, {.vocabulary_size = 1000})).vocabulary_size(), 257);
}

TEST(BpeTraining, NeverLetsOrdinaryTextSpellASpecialToken) {
  const Tokenizer tokenizer = value_or_throw(
      train({"the the the the other"}, {.vocabulary_size = 300, .special_tokens = {"the", "he", "  "}}));
  std::vector<std::int32_t> ids;
  tokenizer.encode("the he   the", ids);
  for (const std::int32_t id : ids) EXPECT_GE(id, 3);
}

TEST(BpeTraining, CountsOneWordOfMegabytesWithoutSquaringThem) {
  const Tokenizer tokenizer = value_or_throw(train({std::string(3 << 20, 'a')}, {.vocabulary_size = 270}));
  EXPECT_EQ(tokenizer.bytes_of(269).size(), 1u << 13);
}

TEST(BpeTraining, RefusesSizesAndSpecialTokensThatCannotBe) {
  const auto refused = [](const BpeTrainingOptions& options) {
    return !train({"some text"}, options).has_value();
  };
  EXPECT_TRUE(refused({.vocabulary_size = 256}));
  EXPECT_TRUE(refused({.vocabulary_size = 257, .special_tokens = {"<a>", "<b>"}}));
  EXPECT_TRUE(refused({.vocabulary_size = (1 << 20) + 1}));
  EXPECT_TRUE(refused({.vocabulary_size = -5}));
  EXPECT_TRUE(refused({.num_threads = 0}));
  EXPECT_TRUE(refused({.special_tokens = {""}}));
  EXPECT_TRUE(refused({.special_tokens = {"<a>", "<a>"}}));
  EXPECT_TRUE(refused({.special_tokens = {"a"}}));
  EXPECT_TRUE(refused({.special_tokens = {"\xff\xfe"}}));
  EXPECT_TRUE(refused({.special_tokens = {std::string(257, 'x')}}));
}

}  // namespace
}  // namespace megalith
