#include "train/train_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "config/describe.h"
#include "core/file.h"
#include "train/blend_entry.h"
#include "train/grain_rules.h"
#include "train/rate_rules.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = MEGALITH_SOURCE_DIR;
const fs::path kTiny = kSource / "configs" / "runs" / "tiny.toml";

Expected<TrainConfig> tiny(const std::vector<std::string>& overrides) {
  return load_train_config(kTiny, overrides, kSource / "configs");
}

// The text of the one refusal, or of all of them; "accepted" without.
std::string refused(const std::vector<std::string>& overrides) {
  const auto loaded = tiny(overrides);
  return loaded ? "accepted" : to_string(loaded.error());
}

TEST(TrainConfig, TheTinyRunIsCompleteAndSmall) {
  const auto config = tiny({});
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->data.source, "synthetic");
  EXPECT_EQ(config->model.feed_forward, 256);
  EXPECT_EQ(config->batch.sequence, 64);
  EXPECT_EQ(config->data.synthetic_vocabulary, 512);
  EXPECT_EQ(config->numerics.grain, 64);  // one sequence: micro batches of one are legal
  EXPECT_EQ(config->numerics.batch_tokens_max, 512);
  EXPECT_LT(parameter_count(config->model), 200'000);
}

TEST(TrainConfig, EveryMicroBatchThatDividesTheBatchIsLegalInTheTinyRun) {
  for (const char* micro : {"1", "2", "4", "8"})
    EXPECT_EQ(refused({std::string("batch.micro=") + micro}), "accepted");
  EXPECT_EQ(
      refused({"batch.micro=3"}),
      "--set batch.micro: found 3; allowed: a divisor of batch.global = 8; try: 2 or 4, or batch.global = 9");
}

TEST(TrainConfig, TheNearestDivisorIsFoundAlsoInHugeBatches) {
  EXPECT_NE(refused({"batch.global=4294967291", "batch.micro=2"}).find("try: 1 or 4294967291"),
            std::string::npos);  // prime
  EXPECT_NE(refused({"batch.global=12", "batch.micro=16"}).find("try: 12, or batch.global = 16"),
            std::string::npos);
}

TEST(TrainConfig, EveryRunInTheFolderIsReadWithoutAComplaint) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(kSource / "configs" / "runs")) {
    const auto config = load_train_config(entry.path(), {}, "");  // presets are found beside the file
    EXPECT_TRUE(config) << to_string(config.error());
    ++files;
  }
  EXPECT_GE(files, 2);
}

TEST(TrainConfig, ThePresetGivesTheModelAndOverridesWin) {
  const auto config = load_train_config(kSource / "configs" / "runs" / "gpt2-124m.toml",
                                        std::vector<std::string>{"model.vocabulary=50304"}, "");
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->model.hidden, 768);
  EXPECT_EQ(config->model.vocabulary, 50304);
  const auto other = tiny({"model.preset=gpt3-125m"});
  ASSERT_TRUE(other) << to_string(other.error());
  EXPECT_EQ(other->model.hidden, 768);
  EXPECT_EQ(other->batch.sequence, 2048);
}

TEST(TrainConfig, TheFrozenConfigReadsBackTheSame) {
  const auto config =
      load_train_config(kSource / "configs" / "runs" / "gpt2-124m.toml",
                        std::vector<std::string>{"optimizer.learning_rate=0.1234567890123456789",
                                                 "sample.prompt=tab\tquote\" é"},
                        "");
  ASSERT_TRUE(config) << to_string(config.error());
  const std::string frozen = to_toml(*config);
  TrainConfig again;
  Registry registry;
  declare_train_keys(registry, again);
  const auto read = parse_toml(frozen, "config.toml", registry);
  ASSERT_TRUE(read) << to_string(read.error());
  for (const Key& key : registry.keys()) EXPECT_EQ(key.origin.substr(0, 12), "config.toml:") << key.name;
  resolve(again);
  EXPECT_EQ(to_toml(again), frozen);
  EXPECT_EQ(again.model, config->model);
  EXPECT_EQ(again.numerics, config->numerics);
  EXPECT_EQ(again.optimizer.learning_rate, config->optimizer.learning_rate);
}

TEST(TrainConfig, AFrozenConfigNeedsNoPresetFile) {
  const auto config = load_train_config(kSource / "configs" / "runs" / "gpt2-124m.toml", {}, "");
  ASSERT_TRUE(config);
  const fs::path folder = fs::path(::testing::TempDir()) / fmt::format("megalith-frozen-run-{}", ::getpid());
  fs::create_directories(folder);
  write_file_atomically(folder / "config.toml", to_toml(*config));
  const auto again = load_train_config(folder / "config.toml", {}, "");
  EXPECT_TRUE(again) << to_string(again.error());
  fs::remove_all(folder);
}

TEST(TrainConfig, GrainsAreWholeBlocksAndFitTheSequence) {
  EXPECT_EQ(refused({"numerics.grain=32"}), "accepted");   // half a sequence
  EXPECT_EQ(refused({"numerics.grain=256"}), "accepted");  // four sequences, one micro batch
  EXPECT_EQ(refused({"numerics.grain=512"}),
            kTiny.string() +
                ":17 batch.micro: found 4; allowed: whole grains: a multiple of 8 sequences, as "
                "numerics.grain = 512 tokens and batch.sequence = 64; try: 8");
  EXPECT_EQ(
      refused({"numerics.grain=96"}),
      "--set numerics.grain: found 96; allowed: a multiple or a divisor of batch.sequence = 64; try: 64");
  EXPECT_EQ(refused({"numerics.grain=50"}),
            "--set numerics.grain: found 50; allowed: a multiple of 32 tokens; try: 32");
}

// The rule that lists grains is the one that refuses them.
TEST(TrainConfig, ExactlyTheListedGrainsAreAccepted) {
  for (const std::int64_t sequence : {16, 32, 48, 64}) {
    const std::vector<std::string> batch = {fmt::format("batch.sequence={}", sequence), "batch.global=12",
                                            "batch.micro=12"};
    const std::vector<std::int64_t> legal = legal_grains({.global = 12, .micro = 12, .sequence = sequence});
    EXPECT_FALSE(legal.empty());
    for (std::int64_t grain = 1; grain <= 13 * sequence; ++grain) {
      std::vector<std::string> overrides = batch;
      overrides.push_back(fmt::format("numerics.grain={}", grain));
      const bool listed = std::find(legal.begin(), legal.end(), grain) != legal.end();
      EXPECT_EQ(refused(overrides) == "accepted", listed) << grain << " of sequences of " << sequence;
    }
  }
  EXPECT_EQ(legal_grains({.global = 6, .micro = 6, .sequence = 64}),
            (std::vector<std::int64_t>{32, 64, 128, 192, 384}));
  EXPECT_EQ(legal_grains({.global = 4, .micro = 4, .sequence = 48}), (std::vector<std::int64_t>{96, 192}));
}

TEST(TrainConfig, AnOddSequenceHasGrainsOfSeveralSequences) {
  // 48 tokens: bias blocks of 32 end with a sequence after two of them.
  const auto config = tiny({"batch.sequence=48"});
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->numerics.grain, 96);
  EXPECT_NE(refused({"batch.sequence=48", "batch.micro=1"}).find("a multiple of 2 sequences"),
            std::string::npos);
}

TEST(TrainConfig, RulesBetweenKeysAreReportedTogether) {
  const auto loaded =
      tiny({"batch.micro=5", "batch.sequence=128", "schedule.warmup_steps=151", "model.heads=5",
            "numerics.key_block=64", "numerics.attention_split=32", "data.synthetic_vocabulary=513"});
  ASSERT_FALSE(loaded);
  std::string keys;
  for (const Refusal& refusal : loaded.error()) keys += refusal.where.substr(6) + " ";
  EXPECT_EQ(keys,
            "model.heads batch.micro batch.sequence numerics.attention_split schedule.warmup_steps "
            "data.synthetic_vocabulary ");
}

TEST(TrainConfig, TheSyntheticLanguageHasNoCompletionsToLearn) {
  EXPECT_EQ(refused({"data.loss_on=completion"}),
            "--set data.loss_on: found \"completion\"; allowed: \"all\", as the synthetic language has no "
            "completions; "
            "try: data.source = token files of pairs");
}

TEST(TrainConfig, NumericsAreExactOrFast) {
  EXPECT_EQ(tiny({})->numerics.mode, NumericsMode::exact);
  EXPECT_EQ(tiny({"numerics.mode=fast"})->numerics.mode, NumericsMode::fast);
  EXPECT_EQ(refused({"numerics.mode=fats"}),
            "--set numerics.mode: found the text \"fats\"; allowed: \"exact\", \"fast\"; try: \"fast\"");
}

TEST(NumericsProfile, NamesItsModeAndIsWhatItWasWhereItIsExact) {
  NumericsProfile profile;
  EXPECT_EQ(to_string(profile),
            "exact-v1 tree=8 slices=1 grain=1024 key_block=64 attention_split=1024 vocab_block=1024 "
            "batch_tokens_max=0 bf16");
  EXPECT_EQ(profile.leaves(2), 4);
  profile.mode = NumericsMode::fast;
  EXPECT_TRUE(to_string(profile).starts_with("fast-v1 tree=8 "));
  EXPECT_EQ(profile.leaves(2), 1);
}

TEST(TrainConfig, ExtremeButLegalNumbersDoNotOverflow) {
  const auto loaded = tiny({"batch.global=4294967296", "batch.micro=4294967296", "model.sequence=1048576",
                            "model.layers=10000", "model.hidden=1048576", "model.heads=4096",
                            "model.vocabulary=16777216", "model.feed_forward=8388608"});
  ASSERT_FALSE(loaded);
  ASSERT_EQ(loaded.error().size(), 1U) << to_string(loaded.error());
  EXPECT_EQ(loaded.error()[0].allowed, "at most 1099511627776 tokens per step");
  EXPECT_EQ(loaded.error()[0].nearest, "1048576");
}

TEST(TrainConfig, EveryKeyHasHelpAndADefaultItWouldAccept) {
  LoadedConfig config;
  for (const Key& key : config.registry.keys()) {
    EXPECT_TRUE(key.help.ends_with('.')) << key.name;
    EXPECT_TRUE(set(config.registry, key.name + "=" + key.default_value)) << key.name;
  }
}

TEST(TrainConfig, TheReferencePageIsTheOneTheKeysGive) {
  const LoadedConfig config;
  const auto page = read_file(kSource / "docs" / "configuration.md", std::size_t{1} << 20);
  ASSERT_TRUE(page) << to_string(page.error());
  // MEGALITH_UPDATE_DOCS=1 writes the page instead.
  if (std::getenv("MEGALITH_UPDATE_DOCS") != nullptr) {
    write_file_atomically(kSource / "docs" / "configuration.md", to_markdown(config.registry));
    GTEST_SKIP() << "wrote docs/configuration.md";
  }
  EXPECT_TRUE(*page == to_markdown(config.registry)) << "run this test with MEGALITH_UPDATE_DOCS=1";
}

TEST(TrainConfig, NamesOfTokenFilesAreShortAndAllDifferent) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(names_of_prefixes({"data/wiki-train", "data/code-train"}), (Texts{"wiki-train", "code-train"}));
  EXPECT_EQ(names_of_prefixes({"a/wiki/train", "a/code/train", "b"}),
            (Texts{"wiki/train", "code/train", "b"}));
  EXPECT_EQ(names_of_prefixes({"train", "x/train", "/x/train"}), (Texts{"train", "x/train", "/x/train"}));
  EXPECT_EQ(names_of_prefixes({"a/s", "a/s", "a/s"}), (Texts{"s", "s#2", "s#3"}));
}

TEST(TrainConfig, LearningRateFactorsNameParametersByPattern) {
  const auto factors = [](const std::string& list) {
    return refused({"optimizer.learning_rate_factors=" + list});
  };
  EXPECT_EQ(factors(R"(["embedding.*=4", "layers.[0-1].* = 0", " *.bias = 2.5 "])"), "accepted");
  EXPECT_EQ(
      factors(R"(["embeding.tokens = 4"])"),
      "--set optimizer.learning_rate_factors: found \"embeding.tokens\", which names no parameter; "
      "allowed: a pattern of parameter names, such as embedding.* or layers.0.*; try: embedding.tokens");
  for (const char* bad : {"embedding.*", "embedding.* = x", "embedding.* = -1", "embedding.* = nan",
                          "embedding.* = 1 2", "= 4"}) {
    const std::string refusal = factors(fmt::format("[\"{}\"]", bad));
    EXPECT_NE(refusal.find("PATTERN = FACTOR"), std::string::npos) << bad << ": " << refusal;
  }
}

TEST(TrainConfig, OfSeveralLearningRateFactorsTheLastThatNamesAParameterCounts) {
  const std::vector<std::string> rules = {"*=2", "layers.*=0", "layers.1.*.bias=3"};
  EXPECT_EQ(rate_factor(rules, "embedding.tokens"), 2);
  EXPECT_EQ(rate_factor(rules, "layers.1.attention.qkv.weight"), 0);
  EXPECT_EQ(rate_factor(rules, "layers.1.attention.qkv.bias"), 3);
  EXPECT_EQ(rate_factor({}, "embedding.tokens"), 1);
}

}  // namespace
}  // namespace megalith
