// The program as its callers see it: exit codes, messages, pipes.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

#include "app/run_folder.h"

namespace {

struct Outcome {
  int code = -1;
  std::string text;  // standard output and error
};

Outcome run(const std::string& arguments) {
  const std::string command = "\"" MEGALITH_BINARY "\" " + arguments + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  Outcome outcome;
  std::array<char, 4096> part{};
  while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe))
    outcome.text.append(part.data(), size);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

bool says(const Outcome& outcome, const char* text) {
  return outcome.text.find(text) != std::string::npos;
}

TEST(Program, HelpTeaches) {
  const Outcome outcome = run("--help");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(says(outcome, "doctor"));
  EXPECT_TRUE(says(outcome, "Examples"));
}

TEST(Program, NamesTheNearestVerbAndOption) {
  const Outcome verb = run("docter");
  EXPECT_EQ(verb.code, 2);
  EXPECT_TRUE(says(verb, "try: megalith doctor")) << verb.text;
  const Outcome option = run("doctor --jsn");
  EXPECT_EQ(option.code, 2);
  EXPECT_TRUE(says(option, "try: --json")) << option.text;
}

TEST(Program, RefusesAnEmptyCommandLineWithItsHelp) {
  const Outcome outcome = run("");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(says(outcome, "Examples"));
}

TEST(Program, RefusesInOneLinePerProblemEachWithItsName) {
  const Outcome outcome = run("report /nowhere/at/all");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(outcome.text.starts_with("megalith: /nowhere/at/all: ")) << outcome.text;
}

TEST(Program, ReportsAFullDiskBehindStandardOutput) {
  EXPECT_EQ(run("doctor > /dev/full").code, 1);
}

TEST(Program, DoesNotMindAReaderThatLeaves) {
  EXPECT_EQ(run("doctor | true").code, 0);
  EXPECT_EQ(run("--help | head -n 1").code, 0);
}

TEST(Program, DoctorNeverFailsForWhatIsOptional) {
  EXPECT_EQ(run("doctor").code, 0);
  const Outcome json = run("doctor --json");
  EXPECT_EQ(json.code, 0);
  EXPECT_TRUE(json.text.starts_with("{"));
}

TEST(Program, WritesAReport) {
  const megalith::app::RunFolder folder;
  folder.fill(5);
  EXPECT_EQ(run("report \"" + folder.path().string() + "\"").code, 0);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "report.html"));
  EXPECT_EQ(run("report \"" + folder.path().string() + "\" --output /nowhere/at/all.html").code, 1);
}

}  // namespace
