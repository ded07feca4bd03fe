// tiktoken's vocabularies from their rank files, Qwen2's and GPT-NeoX's give the ids that their authors
// publish.
//
// Of the vectors beside the project these apply, and all of their ids must be equal: every encoding of
// tiktoken's TestPlans.txt; llama.cpp's gpt-2 (tokenizer_gpt2_test.cpp), qwen2 and mpt, whose vocabulary is
// GPT-NeoX's. These do not: llama-spm, phi-3 (SentencePiece) and bert-bge (WordPiece) are no byte-level BPE;
// of llama-bpe, command-r, deepseek-coder, deepseek-llm and refact there is no vocabulary; starcoder's and
// falcon's are GGUF files, which are not read, and cut text by pre-tokenizers that are refused by name.
#include "tokenizer_vectors.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {
namespace {

struct Vocabulary {
  const char* file;
  const char* vectors;
  std::int32_t entries;
  PiecePattern pattern;
};

class TiktokenVocabulary : public testing::TestWithParam<Vocabulary> {};

TEST_P(TiktokenVocabulary, GivesThePublishedIdsAlsoAfterAWayThroughTokenizerJson) {
  const std::filesystem::path file = kTokenizers / GetParam().file;
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no " << file;
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(file));
  EXPECT_EQ(tokenizer.vocabulary_size(), GetParam().entries);
  EXPECT_EQ(tokenizer.pattern(), GetParam().pattern);
  const Tokenizer saved = value_or_throw(Tokenizer::parse_json(tokenizer.to_json(), "saved"));
  EXPECT_EQ(saved.digest(), tokenizer.digest());
  const std::string name = GetParam().vectors;
  const auto vectors = name == "qwen2" ? ggml_vectors(name) : tiktoken_vectors(name);
  ASSERT_GT(vectors.size(), 40u);
  for (const EncodedText& vector : vectors) {
    EXPECT_EQ(encode(tokenizer, vector.text), vector.ids) << vector.text;
    EXPECT_EQ(encode(saved, vector.text), vector.ids) << vector.text;
    if (tokenizer.lossless()) {
      EXPECT_EQ(value_or_throw(tokenizer.decode(vector.ids)), vector.text);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Published, TiktokenVocabulary,
    testing::Values(Vocabulary{"tiktoken/r50k_base.tiktoken", "r50k_base", 50257, PiecePattern::gpt2},
                    Vocabulary{"tiktoken/p50k_base.tiktoken", "p50k_base", 50281, PiecePattern::gpt2},
                    Vocabulary{"tiktoken/p50k_base.tiktoken", "p50k_edit", 50281, PiecePattern::gpt2},
                    Vocabulary{"tiktoken/cl100k_base.tiktoken", "cl100k_base", 100277, PiecePattern::cl100k},
                    Vocabulary{"tiktoken/o200k_base.tiktoken", "o200k_base", 200019, PiecePattern::o200k},
                    Vocabulary{"qwen/qwen.tiktoken", "qwen2", 151646, PiecePattern::qwen2}),
    [](const testing::TestParamInfo<Vocabulary>& vocabulary) {
      return std::string(vocabulary.param.vectors);
    });

TEST(PublishedTokenizerJson, OfGptNeoxIsReadWithItsNormalizerAndRunsOfSpaces) {
  const std::filesystem::path file = kTokenizers / "gpt-neox/20B_tokenizer.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no " << file;
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(file));
  EXPECT_EQ(tokenizer.vocabulary_size(), 50277);
  EXPECT_EQ(tokenizer.end_of_document(), 0);
  EXPECT_FALSE(tokenizer.lossless());
  // A run of spaces is one of the added tokens, and e with an accent is one character after normalization.
  EXPECT_EQ(encode(tokenizer, "        x").size(), 2u);
  EXPECT_EQ(encode(tokenizer, "e\xcc\x81"), encode(tokenizer, "\xc3\xa9"));
  const std::vector<EncodedText> vectors = ggml_vectors("mpt");
  ASSERT_GT(vectors.size(), 40u);
  for (const EncodedText& vector : vectors)
    EXPECT_EQ(encode(tokenizer, vector.text), vector.ids) << vector.text;
  // No entry stands for a byte that never occurs in UTF-8.
  EXPECT_EQ(encode(tokenizer, "\xff"), encode(tokenizer, "\xef\xbf\xbd"));
  const Tokenizer saved = value_or_throw(Tokenizer::parse_json(tokenizer.to_json(), "saved"));
  EXPECT_EQ(saved.digest(), tokenizer.digest());
}

TEST(RankFile, RefusesDamagedLinesByNumber) {
  const auto problem = [](std::string_view text) {
    const auto tokenizer = Tokenizer::parse_rank_file(text, "ranks", PiecePattern::cl100k);
    return tokenizer ? std::string() : to_string(tokenizer.error());
  };
  std::string all;  // the 256 bytes, each its own rank
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (unsigned byte = 0; byte < 256; ++byte) {
    all += fmt::format("{}{}== {}\n", kDigits[byte >> 2], kDigits[(byte & 3) << 4], byte);
  }
  EXPECT_EQ(problem(all), "");
  EXPECT_EQ(problem(all + "YWI= 256\n"), "");
  EXPECT_NE(problem(all + "YWI= 300\n").find("rank 300"), std::string::npos);
  EXPECT_NE(problem(all + "YWI= 255\n").find("each rank once"), std::string::npos);
  EXPECT_NE(problem(all + "YWI 256\n").find("line 257"), std::string::npos);
  EXPECT_NE(problem(all + "YWI= -1\n").find("line 257"), std::string::npos);
  EXPECT_NE(problem(all.substr(9)), "");  // a byte without an entry
  EXPECT_NE(problem("hello"), "");
  EXPECT_NE(problem(""), "");
  const auto unknown = Tokenizer::parse_rank_file(all, "ranks");
  ASSERT_FALSE(unknown);
  EXPECT_NE(to_string(unknown.error()).find("--pattern"), std::string::npos);
}

}  // namespace
}  // namespace megalith
