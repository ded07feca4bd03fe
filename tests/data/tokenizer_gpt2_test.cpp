// GPT-2's published tokenizer gives GPT-2's published ids.
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <sstream>
#include <thread>

#include "core/file.h"
#include "data/tokenizer/token_encoder.h"
#include "data/tokenizer/tokenizer.h"
#include "tokenizer_vectors.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

class Gpt2Tokenizer : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!fs::exists(kTokenizers / "gpt2")) return;
    from_json_ = new Tokenizer(value_or_throw(Tokenizer::load(kTokenizers / "gpt2/tokenizer.json")));
    const fs::path folder = fs::path(testing::TempDir()) / fmt::format("gpt2-files-{}", ::getpid());
    fs::create_directories(folder);
    fs::create_symlink(kTokenizers / "gpt2/encoder.json", folder / "encoder.json");
    fs::create_symlink(kTokenizers / "gpt2/vocab.bpe", folder / "vocab.bpe");
    from_pair_ = new Tokenizer(value_or_throw(Tokenizer::load(folder)));
    fs::rename(folder / "encoder.json", folder / "vocab.json");
    fs::rename(folder / "vocab.bpe", folder / "merges.txt");
    from_renamed_pair_ = new Tokenizer(value_or_throw(Tokenizer::load(folder)));
    fs::remove_all(folder);
  }
  static void TearDownTestSuite() {
    delete from_json_;
    delete from_pair_;
    delete from_renamed_pair_;
    from_json_ = from_pair_ = from_renamed_pair_ = nullptr;
  }
  void SetUp() override {
    if (from_json_ == nullptr) GTEST_SKIP() << "no GPT-2 files under " << kTokenizers;
  }

  static Tokenizer* from_json_;
  static Tokenizer* from_pair_;
  static Tokenizer* from_renamed_pair_;
};
Tokenizer* Gpt2Tokenizer::from_json_ = nullptr;
Tokenizer* Gpt2Tokenizer::from_pair_ = nullptr;
Tokenizer* Gpt2Tokenizer::from_renamed_pair_ = nullptr;

TEST_F(Gpt2Tokenizer, GivesTheIdsOfTheGgmlVectors) {
  const std::vector<EncodedText> vectors = ggml_vectors("gpt-2");
  ASSERT_GT(vectors.size(), 40u);
  for (const EncodedText& vector : vectors) {
    EXPECT_EQ(encode(*from_json_, vector.text), vector.ids) << vector.text;
    EXPECT_EQ(encode(*from_pair_, vector.text), vector.ids) << vector.text;
  }
}

TEST_F(Gpt2Tokenizer, GivesTheIdsOfTheTiktokenVectors) {
  const std::vector<EncodedText> vectors = tiktoken_vectors("r50k_base");
  ASSERT_GT(vectors.size(), 12u);
  for (const EncodedText& vector : vectors) {
    EXPECT_EQ(encode(*from_json_, vector.text), vector.ids) << vector.text;
    EXPECT_EQ(encode(*from_pair_, vector.text), vector.ids) << vector.text;
  }
}

TEST_F(Gpt2Tokenizer, IsTheSameTokenizerFromAllThreeKindsOfFiles) {
  EXPECT_EQ(from_json_->vocabulary_size(), 50257);
  EXPECT_EQ(from_json_->end_of_document(), 50256);
  EXPECT_EQ(from_json_->digest(), from_pair_->digest());
  EXPECT_EQ(from_json_->digest(), from_renamed_pair_->digest());
  EXPECT_EQ(from_json_->to_json(), from_pair_->to_json());
}

TEST_F(Gpt2Tokenizer, SurvivesSaveAndLoad) {
  const fs::path path = fs::path(testing::TempDir()) / fmt::format("gpt2-saved-{}.json", ::getpid());
  from_json_->save(path);
  const Tokenizer again = value_or_throw(Tokenizer::load(path));
  fs::remove(path);
  EXPECT_EQ(again.digest(), from_json_->digest());
  EXPECT_EQ(again.to_json(), from_json_->to_json());
  for (const EncodedText& vector : ggml_vectors("gpt-2")) EXPECT_EQ(encode(again, vector.text), vector.ids);
}

TEST_F(Gpt2Tokenizer, TakesSpecialTokensInTextAsTextUnlessAsked) {
  const std::string text = "a<|endoftext|>b";
  const std::vector<std::int32_t> as_text = encode(*from_json_, text);
  EXPECT_EQ(std::count(as_text.begin(), as_text.end(), 50256), 0);
  EXPECT_EQ(value_or_throw(from_json_->decode(as_text)), text);
  EXPECT_EQ(encode(*from_json_, text, SpecialTokens::recognized), (std::vector<std::int32_t>{64, 50256, 65}));
  EXPECT_EQ(value_or_throw(from_json_->decode(std::vector<std::int32_t>{64, 50256, 65})), text);
}

TEST_F(Gpt2Tokenizer, RefusesToDecodeIdsOutsideTheVocabulary) {
  EXPECT_FALSE(from_json_->decode(std::vector<std::int32_t>{64, 50257}));
  EXPECT_FALSE(from_json_->decode(std::vector<std::int32_t>{-1}));
}

TEST_F(Gpt2Tokenizer, LosesNoByteOfRandomBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(random() % 400, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % (round % 2 == 0 ? 256 : 0xF5));
    EXPECT_EQ(value_or_throw(from_json_->decode(encode(*from_json_, bytes))), bytes);
  }
}

TEST_F(Gpt2Tokenizer, EncodesAMillionOfOneCharacter) {
  for (const char* unit : {"a", "^", " ", "\n", "0", "'", "ab", "字", "\xff", "\xe2\x80"}) {
    std::string text;
    while (text.size() < 1000000) text += unit;
    const std::vector<std::int32_t> ids = encode(*from_json_, text);
    EXPECT_TRUE(value_or_throw(from_json_->decode(ids)) == text) << unit;
    EXPECT_LE(ids.size(), text.size());
  }
}

TEST_F(Gpt2Tokenizer, ServesManyThreadsAtOnce) {
  const std::string text = text_of(kTokenizers / "bpe-train/corpus.en");
  const std::vector<std::int32_t> expected = encode(*from_json_, text);
  std::vector<std::vector<std::int32_t>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = encode(*from_json_, text); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST_F(Gpt2Tokenizer, GivesTheSameIdsWithAndWithoutRememberedPieces) {
  TokenEncoder remembers(*from_json_, TokenEncoder::Cache::yes),
      forgets(*from_json_, TokenEncoder::Cache::no);
  const std::string text = text_of(kTokenizers / "bpe-train/corpus.en");
  std::vector<std::int32_t> with, without;
  for (int round = 0; round < 2; ++round) {
    remembers.encode(text, with);
    forgets.encode(text, without);
  }
  EXPECT_EQ(with, without);
}

}  // namespace
}  // namespace megalith
