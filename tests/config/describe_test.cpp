#include "config/describe.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/example_keys.h"

namespace megalith {
namespace {

TEST(Explain, OneKeyInFull) {
  ExampleConfig config;
  ASSERT_TRUE(set(config.registry, "batch.global=32"));
  const auto text = explain(config.registry, "batch.global");
  ASSERT_TRUE(text);
  EXPECT_EQ(*text,
            "batch.global\n  Sequences per step.\n\n"
            "  type      integer, sequences\n"
            "  legal     1 to 4096\n"
            "  default   8\n"
            "  value     32 (--set)\n"
            "  resume    frozen with the run\n");
}

TEST(Explain, ASectionOrEverything) {
  ExampleConfig config;
  const auto section = explain(config.registry, "batch");
  ASSERT_TRUE(section);
  EXPECT_TRUE(section->starts_with("[batch] What a step sees.\n  batch.global = 8\n")) << *section;
  EXPECT_EQ(section->find("model."), std::string::npos);
  const auto everything = explain(config.registry, "");
  ASSERT_TRUE(everything);
  for (const Key& key : config.registry.keys())
    EXPECT_NE(everything->find("  " + key.name + " = "), std::string::npos);
}

TEST(Explain, AnUnknownNameGetsTheNearest) {
  ExampleConfig config;
  const auto text = explain(config.registry, "batch.globl");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error()[0].nearest, "batch.global");
  EXPECT_EQ(explain(config.registry, "modle").error()[0].nearest, "model");
}

TEST(Explain, AsJsonHoldsTheWholeDeclaration) {
  ExampleConfig config;
  const auto text = explain_as_json(config.registry, "");
  ASSERT_TRUE(text);
  const nlohmann::json list = nlohmann::json::parse(*text);
  ASSERT_EQ(list.size(), config.registry.keys().size());
  EXPECT_EQ(list[0]["name"], "seed");
  EXPECT_EQ(list[1]["unit"], "sequences");
  EXPECT_EQ(list[1]["origin"], "default");
}

TEST(Markdown, EveryKeyHasARowAndBarsAreEscaped) {
  ExampleConfig config;
  const std::string page = to_markdown(config.registry);
  for (const Key& key : config.registry.keys())
    EXPECT_NE(page.find("\n| `" + key.name + "` |"), std::string::npos);
  EXPECT_NE(page.find("One table \\| not two."), std::string::npos);
}

}  // namespace
}  // namespace megalith
