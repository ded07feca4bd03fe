// An encoder that remembers pieces gives what one without memory gives, whatever it has forgotten since.
#include "data/tokenizer/token_encoder.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/piece_cache.h"

namespace megalith {
namespace {

using Ids = std::vector<std::int32_t>;

std::string random_words(std::mt19937& random, std::size_t count, std::size_t longest, unsigned letters) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 1 + random() % longest; j > 0; --j) {
      text += random() % 50 == 0 ? "é" : std::string(1, static_cast<char>('a' + random() % letters));
    }
    text += " ";
  }
  return text;
}

Tokenizer trained() {
  std::mt19937 random(1);
  TextsInMemory source({random_words(random, 20000, 8, 6)});
  return value_or_throw(train_bpe(source, {.vocabulary_size = 700}));
}

Ids encoded(TokenEncoder& encoder, std::string_view text) {
  Ids ids;
  encoder.encode(text, ids);
  return ids;
}

TEST(TokenEncoder, GivesWhatOneWithoutMemoryGivesForPiecesOfAllLengths) {
  const Tokenizer tokenizer = trained();
  TokenEncoder kept(tokenizer), without(tokenizer, TokenEncoder::Cache::no);
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    // Of six letters the words come again, of twenty-six they are new and of many ids.
    const std::size_t longest = round % 3 == 0 ? 4 : round % 3 == 1 ? 18 : 70;
    std::string text = random_words(random, random() % 400, longest, round % 2 == 0 ? 6 : 26);
    text.resize(text.size() - std::min<std::size_t>(text.size(), random() % 20));  // any length at the end
    ASSERT_EQ(encoded(kept, text), encoded(without, text)) << text;
    ASSERT_EQ(encoded(kept, text), encoded(without, text)) << text;
  }
}

TEST(TokenEncoder, GivesWhatOneWithoutMemoryGivesAfterMorePiecesThanItHasRoomFor) {
  const Tokenizer tokenizer = trained();
  TokenEncoder kept(tokenizer), without(tokenizer, TokenEncoder::Cache::no);
  std::mt19937 random(3);
  const std::string first = random_words(random, 300000, 7, 26);
  EXPECT_EQ(encoded(kept, first), encoded(without, first));
  EXPECT_EQ(encoded(kept, first), encoded(without, first));
}

TEST(TokenEncoder, KeepsTextsOfOneCharacterAMillionTimes) {
  const Tokenizer tokenizer = trained();
  for (const char c : {'^', 'a', ' '}) {
    const std::string text(1000000, c);
    Ids ids;
    tokenizer.encode(text, ids);
    EXPECT_EQ(value_or_throw(tokenizer.decode(ids)), text);
  }
}

TEST(PieceCache, TellsPiecesApartThatDifferInLengthOnly) {
  PieceCache cache;
  const std::string zeros(15, '\0');
  for (std::size_t size = 1; size <= zeros.size(); ++size) {
    const std::vector<std::int32_t> ids(1 + size % 3, static_cast<std::int32_t>(size));
    cache.remember(std::string_view(zeros).substr(0, size), ids);
  }
  for (std::size_t size = 1; size <= zeros.size(); ++size) {
    std::int32_t ids[PieceCache::kFewIds];
    const std::string_view piece = std::string_view(zeros).substr(0, size);
    // As it would lie in a text, with and without other bytes behind it.
    for (const char* end : {piece.data() + piece.size(), zeros.data() + zeros.size()}) {
      const std::size_t found = cache.find(ShortPiece::of(piece, end), ids);
      if (found == 0) continue;  // another one has its place
      EXPECT_EQ(found, 1 + size % 3);
      EXPECT_EQ(ids[0], static_cast<std::int32_t>(size));
    }
  }
}

TEST(ShortPiece, DoesNotDependOnWhatLiesBehindThePiece) {
  const std::string one = "hello, world and more of it", other = "hello? World and more of it";
  const auto key = [](const std::string& text) {
    return ShortPiece::of(std::string_view(text).substr(0, 5), text.data() + text.size());
  };
  EXPECT_EQ(key(one), key(other));
  EXPECT_EQ(key(one), key("hello"));
  EXPECT_NE(key(one), key("hell\xEF"));
}

}  // namespace
}  // namespace megalith
