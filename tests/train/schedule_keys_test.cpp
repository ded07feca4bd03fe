// The keys of [schedule]: what excludes what, and what a file of an earlier version says.
#include <gtest/gtest.h>

#include "config/describe.h"
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

TEST(ScheduleKeys, RunsOfMoreTokensThanCanBeCountedAreRefused) {
  EXPECT_NE(refused({"schedule.steps=4294967296", "batch.global=1048576"}).find("at most 134217728 steps"),
            std::string::npos);
}

}  // namespace
}  // namespace megalith
