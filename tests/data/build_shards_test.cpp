// Token files in shards: together they are the one pair that would have been written without.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/build.h"
#include "data/scratch_folder.h"
#include "data/token_file_names.h"
#include "data/token_set.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/verify.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

const Tokenizer& tokenizer() {
  static const Tokenizer one = [] {
    TextsInMemory source({"the cat sat on the mat and the hat"});
    return value_or_throw(train_bpe(source, {.vocabulary_size = 270, .special_tokens = {"<|endoftext|>"}}));
  }();
  return one;
}

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    const nlohmann::json line{{"prompt", fmt::format("the cat no. {}", i)},
                              {"completion", std::string(static_cast<std::size_t>(i % 40) + 1, 'x')},
                              {"meta", {{"pile_set_name", fmt::format("set {}", i % 3)}}}};
    text += line.dump() + "\n";
  }
  return text;
}

class BuildShards : public testing::Test {
 protected:
  BuildShards() { write_bytes(folder / "a.jsonl", lines(500)); }

  BuildReport build(const char* prefix, std::int64_t shard_tokens, int workers = 2) const {
    return value_or_throw(build_token_files(
        std::vector{folder / "a.jsonl"}, tokenizer(),
        {.output_prefix = folder / prefix, .shard_tokens = shard_tokens, .num_workers = workers}));
  }

  [[nodiscard]] std::vector<std::string> files_of(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(prefix)) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const ScratchFolder folder;
};

TEST_F(BuildShards, HoldTheTokensAndFactsOfOnePair) {
  const BuildReport whole = build("whole", 0), parts = build("parts", 3000);
  EXPECT_EQ(whole.shards, 1);
  EXPECT_GT(parts.shards, 3);
  EXPECT_EQ(parts.training.tokens, whole.training.tokens);
  EXPECT_EQ(parts.training.documents, whole.training.documents);
  for (const char* part : {"-train", "-held_out"}) {
    const auto one = value_or_throw(TokenSet::open(with_suffix(folder / "whole", part)));
    const auto many = value_or_throw(TokenSet::open(with_suffix(folder / "parts", part)));
    std::string bins;
    std::int64_t bytes = 0;
    for (const auto& file : many->files()) {
      bins += bytes_of(file->path());
      bytes += file->meta()->bytes;
    }
    EXPECT_TRUE(bins == bytes_of(one->files()[0]->path()));
    EXPECT_EQ(bytes, one->files()[0]->meta()->bytes);
    ASSERT_EQ(many->num_documents(), one->num_documents());
    for (std::int64_t d = 0; d < one->num_documents(); ++d) {
      EXPECT_EQ(many->source(d), one->source(d));
      EXPECT_EQ(many->prompt_tokens(d), one->prompt_tokens(d));
    }
    value_or_throw(verify_token_files(with_suffix(folder / "parts", part)));
  }
  const auto set = value_or_throw(TokenSet::open(folder / "parts-train"));
  const auto files = set->files();
  for (std::size_t s = 0; s < files.size(); ++s) {
    if (s + 1 < files.size()) {
      EXPECT_GE(files[s]->num_tokens(), 3000);
    }
    EXPECT_LT(files[s]->num_tokens(), 3100);  // the longest document has fewer than 100 tokens
  }
}

TEST_F(BuildShards, AreTheSameWithAnyNumberOfWorkers) {
  const auto written = [&](int workers) {
    build("t", 3000, workers);
    std::string all;
    for (const std::string& name : files_of("t")) all += name + bytes_of(folder / name);
    return all;
  };
  const std::string one = written(1);
  for (const int workers : {2, 3, 5}) EXPECT_TRUE(written(workers) == one) << workers;
}

TEST_F(BuildShards, OfABuildBeforeAreGone) {
  build("t", 0);
  const std::vector<std::string> pair = files_of("t");
  build("t", 3000);
  const std::vector<std::string> many = files_of("t");
  EXPECT_EQ(std::find(many.begin(), many.end(), "t-train.idx"), many.end());
  build("t", 6000);
  EXPECT_LT(files_of("t").size(), many.size());
  EXPECT_TRUE(TokenSet::open(folder / "t-train"));
  build("t", 0);
  EXPECT_EQ(files_of("t"), pair);
}

TEST_F(BuildShards, AreRefusedWhereOneIsDamagedOrGone) {
  build("t", 3000);
  const auto problem = [&] {
    const Expected<void> ok = verify_token_files(folder / "t-train");
    return ok ? "" : to_string(ok.error());
  };
  ASSERT_EQ(problem(), "");
  const fs::path second = value_or_throw(TokenSet::open(folder / "t-train"))->files()[1]->path();
  std::string bytes = bytes_of(second);
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  write_bytes(second, bytes);
  EXPECT_NE(problem().find(second.string()), std::string::npos) << problem();
  fs::remove(fs::path(second).replace_extension(".idx"));
  EXPECT_NE(problem().find("t-train-00001-of-"), std::string::npos) << problem();
}

TEST_F(BuildShards, OfNoTokensAreRefused) {
  const auto result = build_token_files(std::vector{folder / "a.jsonl"}, tokenizer(),
                                        {.output_prefix = folder / "t", .shard_tokens = -1});
  ASSERT_FALSE(result);
  EXPECT_NE(to_string(result.error()).find("shard tokens"), std::string::npos);
}

}  // namespace
}  // namespace megalith
