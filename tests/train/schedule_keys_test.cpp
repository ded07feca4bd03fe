// The keys of [schedule]: what excludes what, and what a file of an earlier version says.
#include <gtest/gtest.h>

#include "config/describe.h"
#include "train/learning_rate.h"
#include "train/train_config.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = MEGALITH_SOURCE_DIR;
const fs::path kTiny = kSource / "configs" / "runs" / "tiny.toml";  // 150 steps of 8 times 64 tokens

Expected<TrainConfig> tiny(const std::vector<std::string>& overrides) {
  return load_train_config(kTiny, overrides, kSource / "configs");
}

std::string refused(const std::vector<std::string>& overrides) {
  const auto loaded = tiny(overrides);
  return loaded ? "accepted" : to_string(loaded.error());
}

TEST(ScheduleKeys, AnAmountOnTheCommandLineReplacesTheOneOfTheFile) {
  const auto config = tiny({"schedule.warmup_tokens=5000"});  // the file has 15 steps
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->schedule.warmup_steps, 0);
  EXPECT_EQ(config->schedule.warmup_tokens, 5000);
}

TEST(ScheduleKeys, TwoUnitsForOneAmountAreRefused) {
  EXPECT_EQ(
      refused({"schedule.warmup_steps=7", "schedule.warmup_tokens=5000"}),
      "--set schedule.warmup_tokens: found 5000; allowed: 0, as schedule.warmup_steps = 7 says the same "
      "thing; try: leave out schedule.warmup_steps or schedule.warmup_tokens");
  EXPECT_NE(refused({"schedule.horizon_steps=700", "schedule.horizon_tokens=90000"}).find("says the same"),
            std::string::npos);
  EXPECT_NE(refused({"schedule.decay=wsd", "schedule.cooldown_steps=7", "schedule.cooldown_tokens=900"})
                .find("says the same"),
            std::string::npos);
}

TEST(ScheduleKeys, TheFormerNameOfTheWarmupIsRead) {
  const auto config = tiny({"schedule.warmup=21"});
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->schedule.warmup_steps, 21);
  EXPECT_EQ(to_toml(*config).find("warmup ="), std::string::npos);
  LoadedConfig frozen;
  EXPECT_TRUE(parse_toml("[schedule]\nsteps = 30\nwarmup = 4\n", "config.toml", frozen.registry));
  EXPECT_EQ(frozen.values.schedule.warmup_steps, 4);
  EXPECT_EQ(refused({"schedule.warmup=21", "schedule.warmup_steps=21"}),
            "--set schedule.warmup: found the former name of a key that is given too; allowed: "
            "schedule.warmup_steps; try: leave this one out");
}

TEST(ScheduleKeys, WarmupMustFitIntoTheRun) {
  EXPECT_NE(refused({"schedule.warmup_steps=151"}).find("at most schedule.steps = 150"), std::string::npos);
  EXPECT_EQ(refused({"schedule.warmup_tokens=76800"}), "accepted");
  EXPECT_EQ(refused({"schedule.warmup_tokens=76801"}),
            "--set schedule.warmup_tokens: found 76801; allowed: at most the 76800 tokens of the run; try: "
            "76800");
  EXPECT_NE(refused({"schedule.decay=inverse_sqrt", "schedule.warmup_steps=0"}).find("a warm-up"),
            std::string::npos);
}

TEST(ScheduleKeys, AHorizonLiesBehindTheWarmupAndMayLieBehindTheEnd) {
  EXPECT_EQ(refused({"schedule.horizon_steps=1000000"}), "accepted");
  EXPECT_EQ(refused({"schedule.horizon_tokens=1000000000000"}), "accepted");
  EXPECT_EQ(
      refused({"schedule.horizon_steps=14"}),
      "--set schedule.horizon_steps: found 14; allowed: no less than the warm-up, which takes 15 steps; "
      "try: 15");
  EXPECT_NE(refused({"schedule.horizon_tokens=7679"}).find("takes 7680 tokens"), std::string::npos);
  EXPECT_EQ(refused({"schedule.horizon_tokens=7680"}), "accepted");
  EXPECT_EQ(
      refused({"schedule.horizon_steps=700", "schedule.decay=constant"}),
      "--set schedule.horizon_steps: found 700; allowed: 0, as schedule.decay = \"constant\" has no end; "
      "try: 0");
}

TEST(ScheduleKeys, WsdNeedsACooldownThatFitsAndNothingElseTakesOne) {
  EXPECT_EQ(
      refused({"schedule.decay=wsd"}),
      "schedule.cooldown_steps: found 0; allowed: the length of the decay, as schedule.decay = \"wsd\"; "
      "try: 15");
  EXPECT_EQ(refused({"schedule.decay=wsd", "schedule.cooldown_steps=135"}), "accepted");
  EXPECT_EQ(
      refused({"schedule.decay=wsd", "schedule.cooldown_steps=136"}),
      "--set schedule.cooldown_steps: found 136; allowed: at most the 135 steps between warm-up and end; "
      "try: 135");
  EXPECT_EQ(refused({"schedule.decay=wsd", "schedule.cooldown_tokens=69120"}), "accepted");
  EXPECT_NE(refused({"schedule.decay=wsd", "schedule.cooldown_tokens=69121"}).find("69120 tokens"),
            std::string::npos);
  EXPECT_NE(refused({"schedule.cooldown_steps=5"}).find("0 unless schedule.decay = \"wsd\""),
            std::string::npos);
}

TEST(ScheduleKeys, ARampIsCompleteAndOfWholeMicroBatches) {
  const auto ramp = [](std::vector<std::string> more) {
    std::vector<std::string> keys{"batch.global=32", "batch.ramp_start=8", "batch.ramp_increment=8",
                                  "batch.ramp_samples=100"};
    for (std::string& key : more) keys.push_back(std::move(key));
    return refused(keys);
  };
  EXPECT_EQ(ramp({}), "accepted");  // micro batches of 4
  EXPECT_EQ(ramp({"batch.micro=8"}), "accepted");
  EXPECT_EQ(
      ramp({"batch.micro=16"}),
      "--set batch.micro: found 16; allowed: a divisor of every size of the ramp, so of batch.ramp_start = 8 "
      "and batch.ramp_increment = 8; try: 8");
  EXPECT_EQ(
      ramp({"batch.ramp_increment=9"}),
      "--set batch.ramp_increment: found 9; allowed: a divisor of batch.global - batch.ramp_start = 24; "
      "try: 3");
  EXPECT_NE(ramp({"batch.ramp_increment=0"}).find("try: 8"), std::string::npos);
  EXPECT_NE(ramp({"batch.ramp_start=32"}).find("below batch.global = 32"), std::string::npos);
  EXPECT_NE(ramp({"batch.ramp_samples=0"}).find("the length of the ramp"), std::string::npos);
  EXPECT_NE(ramp({"batch.ramp_tokens=6400"}).find("says the same thing"), std::string::npos);
  EXPECT_NE(ramp({"batch.ramp_start=0"}).find("0 without batch.ramp_start"), std::string::npos);
  EXPECT_NE(ramp({"batch.micro=1", "batch.global=8200", "batch.ramp_increment=1"}).find("at most 4096 rises"),
            std::string::npos);
}

TEST(ScheduleKeys, ALengthIsGivenInOneUnitAndTheOneOfTheCommandLineCounts) {
  const auto config = tiny({"schedule.tokens=10000"});  // 512 a step; the file has 150 steps
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->schedule.steps, 20);
  EXPECT_EQ(config->schedule.length.steps, 0);
  EXPECT_EQ(
      refused({"schedule.tokens=10000", "schedule.epochs=2"}),
      "--set schedule.epochs: found 2.0; allowed: 0, as schedule.tokens = 10000 says the same thing; try: "
      "leave out schedule.tokens or schedule.epochs");
  EXPECT_NE(refused({"schedule.steps=0"}).find("one of schedule.steps, schedule.tokens and schedule.epochs"),
            std::string::npos);
  LoadedConfig defaults;
  resolve(defaults.values);
  EXPECT_EQ(defaults.values.schedule.steps, 1000);
}

TEST(ScheduleKeys, ALengthInTokensIsFrozenAsOne) {
  const auto config = tiny(
      {"schedule.tokens=10000", "batch.ramp_start=4", "batch.ramp_increment=4", "batch.ramp_samples=40"});
  ASSERT_TRUE(config) << to_string(config.error());
  LoadedConfig frozen;
  ASSERT_TRUE(parse_toml(to_toml(*config), "config.toml", frozen.registry));
  EXPECT_EQ(frozen.values.schedule.length.tokens, 10000);
  EXPECT_EQ(frozen.values.schedule.length.steps, 0);
  resolve(frozen.values);
  // Ten steps of four sequences, then 7440 tokens more in steps of eight.
  EXPECT_EQ(frozen.values.schedule.steps, 10 + 15);
  EXPECT_EQ(to_toml(frozen.values), to_toml(*config));
}

TEST(ScheduleKeys, EpochsAreStepsOnceTheDataIsKnown) {
  auto config = tiny({"schedule.epochs=1.5"});
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->schedule.steps, 0);
  EXPECT_TRUE(resolve_epochs(*config, 1000));
  EXPECT_EQ(config->schedule.steps, 188);  // 1500 samples in steps of 8
  EXPECT_NE(to_toml(*config).find("steps = 0\ntokens = 0\nepochs = 1.5\n"), std::string::npos);
  const auto none = resolve_epochs(*config, 0);
  ASSERT_FALSE(none);
  EXPECT_NE(to_string(none.error()).find("the synthetic language has no end"), std::string::npos);
  const auto short_data = resolve_epochs(*config, 60);  // 12 steps, and 15 of warm-up
  ASSERT_FALSE(short_data);
  EXPECT_NE(to_string(short_data.error()).find("schedule.warmup_steps"), std::string::npos);
  const auto by_steps = tiny({});
  TrainConfig same = *by_steps;
  EXPECT_TRUE(resolve_epochs(same, 0));
  EXPECT_EQ(same.schedule.steps, 150);
}

TEST(ScheduleKeys, TheDecayCountsWhatTheLengthIsGivenIn) {
  auto by_tokens = tiny({"schedule.tokens=76800"});
  auto by_epochs = tiny({"schedule.epochs=2"});
  const auto by_steps = tiny({});
  ASSERT_TRUE(by_tokens && by_epochs && by_steps);
  ASSERT_TRUE(resolve_epochs(*by_epochs, 600));
  const LearningRateSchedule tokens(*by_tokens), epochs(*by_epochs), steps(*by_steps);
  EXPECT_TRUE(tokens.decay_counts_tokens());
  EXPECT_TRUE(epochs.decay_counts_tokens());
  EXPECT_FALSE(steps.decay_counts_tokens());
  for (std::int64_t step = 0; step < 150; ++step) {  // and the batch never changes
    EXPECT_EQ(tokens.at(step), steps.at(step));
    EXPECT_EQ(epochs.at(step), steps.at(step));
  }
}

TEST(ScheduleKeys, EveryLengthMayChangeWhenARunIsResumedAndTheScheduleMayNot) {
  const LoadedConfig config;
  for (const char* key : {"schedule.steps", "schedule.tokens", "schedule.epochs", "schedule.cooldown_steps",
                          "schedule.cooldown_tokens", "schedule.cooldown_shape", "batch.micro"}) {
    EXPECT_TRUE(config.registry.at(key).may_change_on_resume) << key;
  }
  for (const Key& key : config.registry.keys()) {
    const bool shapes = key.name.starts_with("batch.ramp") || key.name.starts_with("schedule.warmup") ||
                        key.name.starts_with("schedule.horizon") || key.name == "schedule.decay" ||
                        key.name == "schedule.minimum_ratio" || key.name == "batch.global";
    if (shapes) {
      EXPECT_FALSE(key.may_change_on_resume) << key.name;
    }
  }
}

TEST(ScheduleKeys, RunsOfMoreTokensThanCanBeCountedAreRefused) {
  EXPECT_NE(refused({"schedule.steps=4294967296", "batch.global=1048576"}).find("at most 134217728 steps"),
            std::string::npos);
}

}  // namespace
}  // namespace megalith
