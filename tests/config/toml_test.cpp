#include <gtest/gtest.h>

#include <string>

#include "config/example_keys.h"
#include "config/toml_limits.h"
#include "config/toml_reader.h"

namespace megalith {
namespace {

TEST(Toml, ASyntaxErrorNamesLineAndColumn) {
  const TomlDocument document = read_toml("a = 1\nb = \n", "f.toml");
  ASSERT_EQ(document.refusals.size(), 1U);
  EXPECT_TRUE(document.refusals[0].where.starts_with("f.toml:2:")) << document.refusals[0].where;
  EXPECT_EQ(document.refusals[0].found, "\"b = \"");
}

TEST(Toml, ReadingGoesOnBehindABrokenLine) {
  const TomlDocument document = read_toml("a = \nb = 2\nc = tru\nd = [1, 2]\n", "f.toml");
  EXPECT_EQ(document.refusals.size(), 2U);
  ASSERT_EQ(document.assignments.size(), 2U);
  EXPECT_EQ(document.assignments[0].key, "b");
  EXPECT_EQ(document.assignments[1].where, "f.toml:4");
}

TEST(Toml, AKeyGivenTwiceIsRefusedAtTheSecond) {
  const TomlDocument document = read_toml("[batch]\nglobal = 8\nmicro = 1\nglobal = 16\n", "f.toml");
  ASSERT_EQ(document.refusals.size(), 1U);
  EXPECT_TRUE(document.refusals[0].where.starts_with("f.toml:4")) << document.refusals[0].where;
  EXPECT_NE(document.refusals[0].allowed.find("redefine"), std::string::npos) << document.refusals[0].allowed;
  EXPECT_EQ(document.assignments.size(), 2U);
}

TEST(Toml, ABrokenSectionLineEndsReadingForKeysBehindItHaveNoHome) {
  const TomlDocument document = read_toml("a = 1\n[batch\nglobal = 8\n", "f.toml");
  EXPECT_EQ(document.refusals.size(), 1U);
  EXPECT_TRUE(document.assignments.empty());
}

TEST(Toml, AnAssertionOfTheLibraryIsASyntaxErrorWithItsLine) {
  const TomlDocument document = read_toml("a = 1\nb = 2\n[=\nc = 3\nd = 4\n", "f.toml");
  ASSERT_EQ(document.refusals.size(), 1U);
  EXPECT_EQ(to_string(document.refusals[0]),
            "f.toml:3:1: found \"[=\"; allowed: TOML (this line is neither a key = value nor a [section])");
}

TEST(Toml, CurlyQuotesAndOtherLettersOutsideOfQuotesAreNamed) {
  const TomlDocument document = read_toml(
      "\xEF\xBB\xBF# é\na = 'é'\nb = \xE2\x80\x9Cx\xE2\x80\x9D\nc = 3\ntree \xC3\xB9 4\n", "f.toml");
  ASSERT_EQ(document.refusals.size(), 2U);
  EXPECT_EQ(document.refusals[0].where, "f.toml:3:5");
  EXPECT_EQ(document.refusals[0].allowed,
            "TOML (outside of quotes and comments only ASCII, straight quotes too)");
  EXPECT_EQ(document.refusals[1].where, "f.toml:5:6");
  EXPECT_EQ(document.assignments.size(), 2U);
}

TEST(Toml, SyntaxErrorsAndWrongValuesAreReportedTogether) {
  ExampleConfig config;
  const auto read = parse_toml("seed = seven\n[batch]\nglobal = 0\n", "f.toml", config.registry);
  ASSERT_FALSE(read);
  ASSERT_EQ(read.error().size(), 2U);
  EXPECT_EQ(read.error()[1].where, "f.toml:3 batch.global");
}

TEST(Toml, ThousandsOfBrokenLinesEndSoon) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "=\n";
  EXPECT_LE(read_toml(text, "f.toml").refusals.size(), 20U);
}

TEST(Toml, UglyTextsAreRefusedOrReadAndNeverCrash) {
  const std::string texts[] = {
      "",
      "\n\n\n",
      "# only a comment",
      "\xEF\xBB\xBF# byte order mark\n",
      std::string("a = \0", 5),
      std::string(1000, '\0'),
      "\x89PNG\r\n\x1A\n\0\0\0\rIHDR",
      "a = \"\xC3\x28\"\n",
      "a = \"\\uD800\"\n",
      "a = \"\\U00110000\"\n",
      "a = 99999999999999999999\n",
      "a = 1e999\n",
      "a = 0x\n",
      "a = 1__0\n",
      "a = '''never closed",
      "a = \"\"\"never closed",
      "a = [1, 2",
      "a = {b = {c = ",
      "a.b = 1\na = 2\n",
      "[a]\n[a]\n",
      "[a]\nb = 1\n[a.b]\nc = 1\n",
      "[[a]]\n[a]\n",
      "a = 1 b = 2\n",
      "\"\" = 1\n",
      "\"a\\nb\" = 1\n",
      "= 1\n",
      "a\n",
      "]\n",
      "a = 1979-13-45\n",
      "a = 07:32:99\n",
      "\r\na = 1\r\n\rb = 2\r",
  };
  for (const std::string& text : texts) {
    ExampleConfig config;
    const auto read = parse_toml(text, "ugly.toml", config.registry);
    EXPECT_TRUE(read.has_value() || !to_string(read.error()).empty());
  }
}

TEST(Toml, MessagesHoldNoControlCharacters) {
  ExampleConfig config;
  const auto read = parse_toml("\"a\\n\\u001b[31mred\" = 1\n", "f.toml", config.registry);
  ASSERT_FALSE(read);
  for (const char c : to_string(read.error())) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
}

TEST(TomlLimits, DeepNestingIsRefusedWithItsLine) {
  const std::string arrays = "x = 1\na = " + std::string(100000, '[');
  const std::string tables = "a = " + [] {
    std::string text;
    for (int i = 0; i < 5000; ++i) text += "{a=";
    return text;
  }();
  std::string dotted = "a";
  for (int i = 0; i < 100000; ++i) dotted += ".a";
  std::string quoted = "'a'";
  for (int i = 0; i < 1000; ++i) quoted += ".\"a\"";
  for (const std::string& text :
       {arrays, tables, dotted + " = 1", "[" + dotted + "]", "a = {" + dotted + " = 1}", quoted + " = 1"}) {
    const auto checked = check_toml_limits(text, "deep.toml");
    ASSERT_FALSE(checked) << shown(text);
    EXPECT_EQ(checked.error()[0].allowed, "at most 16 levels");
    EXPECT_EQ(read_toml(text, "deep.toml").refusals.size(), 1U);
  }
  EXPECT_EQ(check_toml_limits(arrays, "deep.toml").error()[0].where, "deep.toml:2");
}

TEST(TomlLimits, DotsAndBracketsInStringsCommentsAndListsAreOnlyText) {
  const std::string dots(100, '.');
  const std::string brackets(100, '[');
  std::string numbers;
  for (int i = 0; i < 100; ++i) numbers += "1.5, ";
  for (const std::string& text :
       {"a = \"" + dots + "\"\n", "a = '" + brackets + "'\n", "# " + dots + brackets + "\n",
        "a = \"\"\"" + dots + "\n\"quoted\" " + brackets + "\"\"\"\n", "a = \"\\\"" + brackets + "\"\n",
        "a = [" + numbers + "]\n"}) {
    EXPECT_TRUE(check_toml_limits(text, "f.toml")) << text;
    EXPECT_TRUE(read_toml(text, "f.toml").refusals.empty()) << text;
  }
}

TEST(TomlLimits, MoreThanAMebibyteIsRefusedBeforeReading) {
  EXPECT_TRUE(check_toml_limits(std::string(std::size_t{1} << 20, '\n'), "f.toml"));
  EXPECT_FALSE(check_toml_limits(std::string((std::size_t{1} << 20) + 1, '\n'), "f.toml"));
}

}  // namespace
}  // namespace megalith
