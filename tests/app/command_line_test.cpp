#include "app/command_line.h"

#include <gtest/gtest.h>

#include <new>
#include <system_error>

#include "app/edit_distance.h"

namespace megalith::app {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsSubstitutionsAndSwaps) {
  EXPECT_EQ(edit_distance("train", "train"), 0);
  EXPECT_EQ(edit_distance("trian", "train"), 1);
  EXPECT_EQ(edit_distance("trn", "train"), 2);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
}

TEST(NearestWord, IsEmptyWhenNothingIsNear) {
  EXPECT_EQ(nearest_word("trian", {"doctor", "train"}), "train");
  EXPECT_EQ(nearest_word("gen", {"doctor", "generate"}), "generate");
  EXPECT_EQ(nearest_word("xyzzy", {"doctor", "train"}), "");
  EXPECT_EQ(nearest_word("", {"doctor"}), "");
  EXPECT_EQ(nearest_word(std::string(1'000'000, 'x'), {"doctor"}), "");
}

TEST(CommandLine, ChoosesWhatToRunWithoutRunningIt) {
  const char* argv[] = {"megalith", "report", "/nowhere/at/all"};
  EXPECT_TRUE(parse_command_line(3, argv).has_value());
}

TEST(CommandLine, RefusesUnknownAndMissingArguments) {
  for (const char* argument : {"trian", "--nope", "report", "-x"}) {
    const char* argv[] = {"megalith", argument};
    EXPECT_FALSE(parse_command_line(2, argv).has_value()) << argument;
  }
}

TEST(RunGuarded, TurnsEveryExceptionIntoItsCode) {
  const auto code_of = [](auto thrown) { return run_guarded([&]() -> ExitCode { throw thrown; }); };
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_guarded([] { return ExitCode::stopped; }), ExitCode::stopped);
  EXPECT_EQ(code_of(RefusedInput({{.where = "a", .found = "b", .allowed = "", .nearest = ""}})),
            ExitCode::refused);
  EXPECT_EQ(code_of(WorldFailed("disk full")), ExitCode::failed);
  EXPECT_EQ(code_of(std::bad_alloc()), ExitCode::failed);
  EXPECT_EQ(code_of(std::system_error(std::make_error_code(std::errc::io_error))), ExitCode::failed);
  EXPECT_EQ(code_of(std::logic_error("impossible")), ExitCode::bug);
  EXPECT_EQ(code_of(42), ExitCode::bug);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("megalith: a: found b\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace megalith::app
