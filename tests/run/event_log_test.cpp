// Event files for TensorBoard: what is written comes back, and every step stands in them once.
#include "run/event_log.h"

#include "run/crc32c.h"
#include "run/event_decoder.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;
using test::read_events;
using test::ReadEvent;
using test::TemporaryFolder;

using Steps = std::vector<std::int64_t>;

// Steps of the scalars of `tag`, as they stand.
Steps steps_of(const fs::path& folder, const std::string& tag = "loss") {
  Steps steps;
  for (const ReadEvent& event : read_events(folder)) {
    if (event.scalars.count(tag) != 0) steps.push_back(event.step);
  }
  return steps;
}

void add_steps(EventLog& log, std::int64_t first, std::int64_t last) {
  for (std::int64_t step = first; step <= last; ++step) {
    const NamedValue values[] = {{"loss", 1.0 / static_cast<double>(step)}};
    log.add_scalars({.wall = 1e9, .step = step}, values);
  }
}

fs::path file_of(const fs::path& folder, int number) {
  return folder / fmt::format("events.out.tfevents.{:08}", number);
}

TEST(Crc32c, HasThePublishedValues) {
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
}

TEST(EventLog, GivesBackScalarsAndTexts) {
  const TemporaryFolder folder;
  EventLog log(folder.path());
  const NamedValue values[] = {{"loss/training", 3.25}, {"speed/mfu", 0.5}};
  log.add_scalars({.wall = 1234.5, .step = 1}, values);
  log.add_scalars({.wall = 1235.5, .step = std::int64_t{1} << 40}, values);
  const std::string long_text(5000, 'x');
  log.add_text({.wall = 1236.5, .step = std::int64_t{1} << 40}, "sample", long_text);
  const std::vector<ReadEvent> events = read_events(folder.path());
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_EQ(events[1].wall, 1234.5);
  EXPECT_EQ(events[1].step, 1);
  EXPECT_EQ(events[1].scalars, (std::map<std::string, float>{{"loss/training", 3.25f}, {"speed/mfu", 0.5f}}));
  EXPECT_EQ(events[2].step, std::int64_t{1} << 40);
  EXPECT_EQ(events[3].texts.at("sample"), long_text);
}

TEST(EventLog, HasNoFolderBeforeTheFirstEvent) {
  const TemporaryFolder folder;
  EventLog log(folder.path() / "tensorboard");
  log.resume_after(7);
  EXPECT_FALSE(fs::exists(folder.path() / "tensorboard"));
}

TEST(EventLog, HasEveryStepOnceAfterResumes) {
  const TemporaryFolder folder;
  {
    EventLog log(folder.path());
    add_steps(log, 1, 9);
  }
  for (const auto& [after, last] : {std::pair{6, 12}, std::pair{6, 8}, std::pair{8, 10}}) {
    EventLog log(folder.path());
    log.resume_after(after);
    add_steps(log, after + 1, last);
  }
  EXPECT_EQ(steps_of(folder.path()), (Steps{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  const std::vector<ReadEvent> newest = test::read_event_file(file_of(folder.path(), 4));
  ASSERT_GE(newest.size(), 2u);
  EXPECT_EQ(newest[1].session_start, true);  // a TensorBoard that watches forgets step 9 and later ones
  EXPECT_EQ(newest[1].step, 9);
}

TEST(EventLog, BeginsAnewWithoutAResume) {
  const TemporaryFolder folder;
  {
    EventLog log(folder.path());
    add_steps(log, 1, 3);
  }
  EventLog log(folder.path());
  add_steps(log, 1, 2);
  EXPECT_EQ(steps_of(folder.path()), (Steps{1, 2}));
}

TEST(EventLog, CutsATornEndOff) {
  const TemporaryFolder folder;
  {
    EventLog log(folder.path());
    add_steps(log, 1, 3);
  }
  const fs::path file = file_of(folder.path(), 1);
  const std::string whole = test::slurp(file);
  // Ends inside of the last record: in its length, in its event, in its last checksum.
  for (const std::size_t missing : {1, 10, 40}) {
    test::spill(file, whole.substr(0, whole.size() - missing));
    EventLog log(folder.path());
    log.resume_after(3);
    EXPECT_EQ(steps_of(folder.path()), (Steps{1, 2}));
  }
}

TEST(EventLog, CutsWhereAChecksumIsWrong) {
  const TemporaryFolder folder;
  {
    EventLog log(folder.path());
    add_steps(log, 1, 3);
  }
  const fs::path file = file_of(folder.path(), 1);
  const std::string whole = test::slurp(file);
  test::overwrite(file, whole.size() - 8, 'X');  // in the event of step 3
  EventLog log(folder.path());
  log.resume_after(3);
  EXPECT_EQ(steps_of(folder.path()), (Steps{1, 2}));
}

TEST(EventLog, LeavesOtherFilesAlone) {
  const TemporaryFolder folder;
  const fs::path other = folder.path() / "events.out.tfevents.1700000000.host.1.0";
  test::spill(other, "somebody else's");
  EventLog log(folder.path());
  add_steps(log, 1, 1);
  EXPECT_EQ(test::slurp(other), "somebody else's");
}

}  // namespace
}  // namespace megalith
