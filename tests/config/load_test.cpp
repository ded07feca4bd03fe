#include "config/load.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "config/example_keys.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

// Here model.name is the preset key: small.toml holds other model.* keys.
class Load : public ::testing::Test {
 protected:
  Load() : folder_(fs::temp_directory_path() / fmt::format("megalith-load-{}", ::getpid())) {
    fs::create_directories(folder_ / "models");
    write("models/small.toml", "[model]\ntree = 2\ncolour = \"green\"\ntied = false\n");
    write("models/large.toml", "[model]\ntree = 64\n");
  }
  ~Load() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  Expected<void> load(const fs::path& file, const std::vector<std::string>& overrides = {}) {
    const PresetRule rule{
        .key = "model.name", .prefix = "model.", .folders = {folder_ / "absent", folder_ / "models"}};
    return load_config(config_.registry, file, overrides, rule);
  }
  std::string refused(const std::string& text) {
    const auto loaded = load(write("run.toml", text));
    return loaded ? "accepted" : to_string(loaded.error());
  }

  fs::path folder_;
  ExampleConfig config_;
};

TEST_F(Load, APresetLiesUnderTheFileAndTheFileUnderTheOverrides) {
  const auto loaded =
      load(write("run.toml", "[model]\ncolour = \"red\"\nname = \"small\"\n[batch]\nglobal = 3\n"),
           {"batch.global=4"});
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  EXPECT_EQ(config_.values.tree, 2);
  EXPECT_EQ(config_.values.colour, Colour::red);
  EXPECT_FALSE(config_.values.tied);
  EXPECT_EQ(config_.values.global, 4);
}

TEST_F(Load, APresetOfTheCommandLineLiesOverTheFile) {
  ASSERT_TRUE(load(write("run.toml", "[model]\ntree = 4\nname = \"small\"\n"), {"model.name=large"}));
  EXPECT_EQ(config_.values.tree, 64);
  EXPECT_EQ(config_.values.colour, Colour::red);
}

TEST_F(Load, AFileThatGivesEveryKeyNeedsNoPreset) {
  ASSERT_TRUE(load(write(
      "run.toml", "[model]\nname = \"vanished\"\ntree = 1\ncolour = \"red\"\ntied = true\nfiles = []\n")));
  EXPECT_EQ(config_.values.name, "vanished");
}

TEST_F(Load, AnUnknownPresetNamesThoseThereAre) {
  EXPECT_NE(refused("model.name = \"smal\"").find("found \"smal\"; allowed: large, small; try: small"),
            std::string::npos);
}

TEST_F(Load, APresetIsANameAndNeverAPath) {
  write("outside.toml", "[model]\ntree = 1\n");
  for (const char* name : {"../outside", "/etc/passwd", "..", ".", "a/b", "small\\u0000"}) {
    EXPECT_NE(refused(fmt::format("model.name = \"{}\"", name)), "accepted") << name;
  }
}

TEST_F(Load, APresetHoldsOnlyModelKeys) {
  write("models/bad.toml", "seed = 3\n[model]\nname = \"small\"\ntre = 3\n");
  const std::string message = refused("seed = \"x\"\nmodel.name = \"bad\"");
  EXPECT_NE(message.find("bad.toml:1 seed: found a key that a preset may not hold"), std::string::npos)
      << message;
  EXPECT_NE(message.find("bad.toml:3 model.name"), std::string::npos) << message;
  EXPECT_NE(message.find("run.toml:1 seed: found the text"), std::string::npos)
      << message;  // and the file's own problems
}

TEST_F(Load, ProblemsOfFileAndOverridesComeTogether) {
  const auto loaded = load(write("run.toml", "batch.global = 0\n"), {"seed=-1", "nonsense", "batch.rate=x"});
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().size(), 4U) << to_string(loaded.error());
}

TEST_F(Load, WhatIsNoFileIsRefused) {
  EXPECT_FALSE(load(folder_ / "missing.toml"));
  EXPECT_FALSE(load(folder_));
  EXPECT_FALSE(load(write("huge.toml", std::string((std::size_t{1} << 20) + 1, '#'))));
  EXPECT_TRUE(load(""));  // defaults and overrides only
}

}  // namespace
}  // namespace megalith
