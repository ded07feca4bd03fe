// The manual page and the completion scripts of a small program that is declared here.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "app/manual/completion.h"
#include "app/manual/manual_page.h"

namespace megalith::app {
namespace {

// A program with one verb of two words, one option of each kind, and something hidden.
class SmallProgram {
 public:
  SmallProgram() {
    app_.footer("Examples:\n  megalith fly\n");
    CLI::App* travel = app_.add_subcommand("travel", "Going places");
    CLI::App* fly = travel->add_subcommand("fly", "Don't look \\ down");
    fly->add_option("PLACES", places_, "Where to")->required();
    fly->add_option("--height", height_, "Metres")->check(CLI::Range(1, 900))->capture_default_str();
    fly->add_option("--map", map_, "A file");
    fly->add_option("--set", overrides_, "One key")->type_name("KEY=VALUE");
    fly->add_flag("-f,--fast", fast_, "Faster");
    fly->add_flag("--secret", secret_)->group("");
    app_.add_subcommand("hidden", "Not for everybody")->group("");
    CLI::App* explain = app_.add_subcommand("explain", "Keys");
    explain->add_option("KEY", map_, "One");
  }
  [[nodiscard]] Command command() const { return read_command(app_); }

 private:
  CLI::App app_{"It moves.\n'Quickly'", "megalith"};
  std::vector<std::string> places_;
  std::vector<std::string> overrides_;
  std::string map_;
  int height_ = 7;
  bool fast_ = false;
  bool secret_ = false;
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(CommandTree, HoldsWhatTheParserKnowsAndNothingHidden) {
  const SmallProgram program;
  const Command root = program.command();
  const std::vector<CommandPath> all = all_commands(root);
  std::vector<std::string> names;
  for (const CommandPath& path : all) names.push_back(joined(path.words));
  EXPECT_EQ(names, (std::vector<std::string>{"", "travel", "travel fly", "explain"}));

  const Command& fly = *all[2].command;
  ASSERT_EQ(fly.positional.size(), 1U);
  EXPECT_EQ(fly.positional[0].value, "PLACES");
  EXPECT_TRUE(fly.positional[0].required && fly.positional[0].repeats);
  ASSERT_EQ(fly.options.size(), 5U);  // with --help, without --secret
  const CommandArgument& height = fly.options[1];
  EXPECT_EQ(height.names, std::vector<std::string>{"--height"});
  EXPECT_EQ(height.takes, Takes::number);
  EXPECT_EQ(height.value, "NUMBER");
  EXPECT_EQ(height.range, "[1 - 900]");
  EXPECT_EQ(height.default_value, "7");
  EXPECT_EQ(fly.options[2].takes, Takes::text);
  EXPECT_EQ(fly.options[3].takes, Takes::assignment);
  EXPECT_EQ(fly.options[4].names, (std::vector<std::string>{"-f", "--fast"}));
  EXPECT_EQ(fly.options[4].takes, Takes::nothing);
  EXPECT_EQ(all[3].command->positional[0].takes, Takes::key);
}

TEST(ManualPage, TellsEveryVerbAndOptionWithItsRangeAndDefault) {
  const std::string page = manual_page(SmallProgram().command(), "megalith 9");
  EXPECT_TRUE(page.starts_with(".TH MEGALITH 1 \"\" \"megalith 9\"\n"));
  for (const char* part :
       {".SS megalith travel fly\n",
        "\\fB\\-\\-height\\fR \\fINUMBER\\fR\nMetres (in [1 \\- 900]; default 7)\n",
        "\\fB\\-f\\fR, \\fB\\-\\-fast\\fR\nFaster\n", "\\fIPLACES\\fR...", "\\fIKEY=VALUE\\fR"})
    EXPECT_TRUE(holds(page, part)) << part << '\n' << page;
  EXPECT_FALSE(holds(page, "secret"));
  EXPECT_FALSE(holds(page, "hidden"));
}

TEST(ManualPage, LeavesNothingForRoffToInterpret) {
  const std::string page = manual_page(SmallProgram().command(), "megalith 9");
  EXPECT_TRUE(holds(page, "It moves.\n\\&\\(aqQuickly\\(aq\n")) << page;  // a quote begins no request
  EXPECT_TRUE(holds(page, "Don\\(aqt look \\(rs down"));
}

TEST(Completion, NamesVerbsOptionsAndKeysInBothShells) {
  const Command root = SmallProgram().command();
  for (const std::string& script :
       {bash_completion(root, {"a.b", "a.c"}), zsh_completion(root, {"a.b", "a.c"})}) {
    for (const char* part : {"' travel'|'travel fly'|' explain') verb=", "'travel fly --height') ",
                             "'travel fly --map') ", "'travel fly --set') ", "a.b a.c"})
      EXPECT_TRUE(holds(script, part)) << part << '\n' << script;
    EXPECT_FALSE(holds(script, "secret"));
    EXPECT_FALSE(holds(script, "hidden"));
  }
}

}  // namespace
}  // namespace megalith::app
