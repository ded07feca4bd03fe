#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "config/example_keys.h"
#include "config/nearest.h"

namespace megalith {
namespace {

// The one refusal of a text, or an empty one.
Refusal refusal_of(const std::string& text) {
  ExampleConfig config;
  const auto read = parse_toml(text, "run.toml", config.registry);
  if (read.has_value() || read.error().size() != 1) return {};
  return read.error().front();
}

TEST(Registry, ReadsEveryTypeFromSectionsAndDottedKeys) {
  ExampleConfig config;
  const auto read = parse_toml(
      "seed = 9_000_000_000\nbatch.global = 0x10\nbatch.rate = 3\n[model]\ntree = 4\nname = 'plain'\n"
      "colour = \"green\"\ntied = false\nfiles = [\"x\", \"y\",]\n",
      "run.toml", config.registry);
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(config.values.seed, 9'000'000'000U);
  EXPECT_EQ(config.values.global, 16);
  EXPECT_EQ(config.values.rate, 3.0);  // an integer is a number
  EXPECT_EQ(config.values.tree, 4);
  EXPECT_EQ(config.values.name, "plain");
  EXPECT_EQ(config.values.colour, Colour::green);
  EXPECT_FALSE(config.values.tied);
  EXPECT_EQ(config.values.files, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(config.registry.where("model.tree"), "run.toml:5 model.tree");
  EXPECT_EQ(config.registry.where("batch.clip"), "batch.clip");  // a default has no place
}

TEST(Registry, ReportsEveryProblemAtOnceInTheOrderOfTheLines) {
  ExampleConfig config;
  const auto read = parse_toml(
      "[model]\ntree = 12\ntied = \"true\"\ncolor = \"red\"\n[batch]\nglobal = 0\nrate = \"fast\"\nclip = "
      "-1\n",
      "run.toml", config.registry);
  ASSERT_FALSE(read);
  EXPECT_EQ(
      to_string(read.error()),
      "run.toml:2 model.tree: found the integer 12; allowed: a power of two, 1 to 64; try: 8 or 16\n"
      "run.toml:3 model.tied: found the text \"true\"; allowed: true or false; try: true without quotes\n"
      "run.toml:4 model.color: found an unknown key; allowed: the keys that `megalith config explain` lists; "
      "try: "
      "model.colour\n"
      "run.toml:6 batch.global: found the integer 0; allowed: 1 to 4096; try: 1\n"
      "run.toml:7 batch.rate: found the text \"fast\"; allowed: a number above 0 to 10\n"
      "run.toml:8 batch.clip: found the integer -1; allowed: above 0 to 100, or 0 (off); try: 0.0");
}

TEST(Registry, ARefusedValueLeavesItsFieldAlone) {
  ExampleConfig config;
  EXPECT_FALSE(
      parse_toml("[model]\ntree = 3\ncolour = \"blue\"\nfiles = [\"b\", 3]\n", "run.toml", config.registry));
  EXPECT_EQ(config.values.tree, 8);
  EXPECT_EQ(config.values.colour, Colour::red);
  EXPECT_EQ(config.values.files, std::vector<std::string>{"a"});
}

TEST(Registry, NamesTheNearestLegalValue) {
  EXPECT_EQ(refusal_of("batch.global = 5000").nearest, "4096");
  EXPECT_EQ(refusal_of("batch.global = 8.0").nearest, "8");
  EXPECT_EQ(refusal_of("batch.global = 1e300").nearest, "");
  EXPECT_EQ(refusal_of("batch.rate = 11").nearest, "10.0");
  EXPECT_EQ(refusal_of("batch.rate = 0").nearest, "");  // the bound itself is not legal
  EXPECT_EQ(refusal_of("batch.rate = nan").found, "the number nan");
  EXPECT_EQ(refusal_of("batch.rate = inf").nearest, "10.0");
  EXPECT_EQ(refusal_of("model.tree = 100").nearest, "64");
  EXPECT_EQ(refusal_of("model.tree = -9223372036854775808").nearest, "1");
  EXPECT_EQ(refusal_of("model.tied = 1").nearest, "true");
  EXPECT_EQ(refusal_of("model.colour = \"gren\"").nearest, "\"green\"");
  EXPECT_EQ(refusal_of("model.files = \"x\"").nearest, "[\"x\"]");
  EXPECT_EQ(refusal_of("seed = -1").nearest, "0");
  EXPECT_NE(refusal_of("model.name = \"" + std::string(21, 'x') + "\"").allowed, "");
}

TEST(Registry, ZeroIsLegalWhereItHasAMeaning) {
  ExampleConfig config;
  ASSERT_TRUE(set(config.registry, "batch.clip=0"));
  EXPECT_EQ(config.values.clip, 0);
  ASSERT_TRUE(set(config.registry, "batch.clip=-0.0"));
  EXPECT_FALSE(std::signbit(config.values.clip));
}

TEST(Registry, FindsTheKeyThatWasMeant) {
  EXPECT_EQ(refusal_of("batch.gobal = 1").nearest, "batch.global");
  EXPECT_EQ(refusal_of("batch.golbal = 1").nearest, "batch.global");
  EXPECT_EQ(refusal_of("train.rate = 1").nearest, "batch.rate");
  EXPECT_EQ(refusal_of("clip = 1").nearest, "batch.clip");
  EXPECT_EQ(refusal_of("model.seed = 1").nearest, "seed");
  EXPECT_EQ(refusal_of("batch.optimizer_state_offload = 1").nearest, "");
  EXPECT_EQ(refusal_of(std::string(100000, 'x') + " = 1").nearest, "");
}

TEST(Registry, ATableIsNotAValue) {
  EXPECT_EQ(refusal_of("[seed]\n").found, "a table");
  EXPECT_EQ(refusal_of("seed = {}").found, "a table");
  EXPECT_EQ(refusal_of("[seed]\na = 1").where, "run.toml:2 seed.a");
  EXPECT_EQ(refusal_of("[[batch]]\nglobal = 1").where, "run.toml:1 batch");
  EXPECT_EQ(refusal_of("[nonsense]\n").found, "an unknown key");
  EXPECT_EQ(refusal_of("seed = 1979-05-27").found, "a date or time");
  ExampleConfig config;
  EXPECT_TRUE(parse_toml("[batch]\n[model]\n", "run.toml", config.registry));
}

TEST(Registry, AForeignFileIsNotTenThousandMessages) {
  std::string text;
  for (int i = 0; i < 10000; ++i) text += fmt::format("key_{} = 1\n", i);
  ExampleConfig config;
  const auto read = parse_toml(text, "run.toml", config.registry);
  ASSERT_FALSE(read);
  EXPECT_LE(read.error().size(), 60U);
  EXPECT_EQ(read.error().back().found, "more problems among the 9950 values that follow");
}

TEST(EditDistance, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("abc", "acb"), 1U);
  EXPECT_EQ(edit_distance("abc", "abd"), 1U);
  EXPECT_EQ(edit_distance("global", "gobal"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Override, TakesTomlValuesAndBareTexts) {
  ExampleConfig config;
  const auto must = [&](const char* text) {
    const auto done = set(config.registry, text);
    EXPECT_TRUE(done) << to_string(done.error());
  };
  must("batch.global=32");
  must(" batch.rate = 1e-4 ");
  must("model.colour=green");
  must("model.name=a = b");
  EXPECT_EQ(config.values.name, "a = b");
  must("model.name=\"with \\\"quotes\\\"\"");
  EXPECT_EQ(config.values.name, "with \"quotes\"");
  must("model.name=");
  must("model.tied=false");
  must("model.files=[\"p\", \"q\"]");
  EXPECT_EQ(config.values.global, 32);
  EXPECT_EQ(config.values.rate, 1e-4);
  EXPECT_EQ(config.values.colour, Colour::green);
  EXPECT_EQ(config.values.name, "");
  EXPECT_EQ(config.values.files.size(), 2U);
  EXPECT_EQ(config.registry.where("batch.global"), "--set batch.global");
}

TEST(Override, RefusesWithTheKeyAndWhatItTakes) {
  ExampleConfig config;
  const auto refused = [&](const char* text) {
    const auto done = set(config.registry, text);
    return done ? std::string("accepted") : to_string(done.error());
  };
  EXPECT_EQ(refused("batch.global"),
            "--set: found \"batch.global\"; allowed: KEY=VALUE; try: batch.global=VALUE");
  EXPECT_EQ(refused("batch.globl=3"),
            "--set batch.globl: found an unknown key; allowed: the keys that `megalith config "
            "explain` lists; try: batch.global");
  EXPECT_EQ(refused("batch.global=many"), "--set batch.global: found \"many\"; allowed: 1 to 4096");
  EXPECT_EQ(refused("batch.global="), "--set batch.global: found \"\"; allowed: 1 to 4096");
  EXPECT_EQ(refused("batch.global=1\nseed = 2"),
            "--set batch.global: found \"1\\nseed = 2\"; allowed: 1 to 4096");
  EXPECT_EQ(refused("model.name=\"open"),
            "--set model.name: found \"\\\"open\"; allowed: text of 1 to 20 bytes, or \"\" "
            "(unnamed)");
  EXPECT_NE(refused("=3"), "accepted");
  EXPECT_NE(refused(""), "accepted");
}

TEST(ToToml, ReadsBackTheSameBits) {
  ExampleConfig config;
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    config.values.rate =
        std::ldexp(1.0 + static_cast<double>(random() >> 11) * 0x1p-53, static_cast<int>(random() % 64) - 61);
    config.values.clip = i % 2 == 0 ? 0 : static_cast<double>(random() % 100) + 1;
    config.values.seed = random() >> 1;
    config.values.name = "";
    for (int c = 0; c < 10; ++c) config.values.name += static_cast<char>(1 + random() % 127);
    ExampleConfig again;
    const std::string text = to_toml(config.registry);
    const auto read = parse_toml(text, "frozen.toml", again.registry);
    ASSERT_TRUE(read) << to_string(read.error()) << '\n' << text;
    ASSERT_EQ(again.values.rate, config.values.rate);
    ASSERT_EQ(again.values.clip, config.values.clip);
    ASSERT_EQ(again.values.seed, config.values.seed);
    ASSERT_EQ(again.values.name, config.values.name);
    ASSERT_EQ(to_toml(again.registry), text);
  }
}

TEST(ToToml, HoldsEveryKeyWithThoseWithoutASectionFirst) {
  ExampleConfig config;
  EXPECT_EQ(
      to_toml(config.registry),
      "seed = 1\n\n[batch]\nglobal = 8\nrate = 0.001\nclip = 1.0\n\n[model]\ntree = 8\nname = \"none\"\n"
      "colour = \"red\"\ntied = true\nfiles = [\"a\"]\n");
}

}  // namespace
}  // namespace megalith
