#include "run/run_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "run/checkpoint_store.h"
#include "run/model_location.h"
#include "run/temporary_folder.h"

namespace megalith {
namespace {

using test::slurp;
using test::spill;
using test::TemporaryFolder;

constexpr const char* kConfig = "seed = 1\n";

RunDirectory make_run(const std::filesystem::path& folder) {
  return value_or_throw(RunDirectory::create(folder, kConfig, {"0.1.0", "", {{"threads", "2"}}}));
}

void save(const RunDirectory& run, std::int64_t step) {
  std::vector<float> values{1, 2};
  CheckpointWriter writer(run.checkpoints(), step);
  writer.add("w", Tensor(values.data(), DType::f32, {2}));
  CheckpointFacts facts;
  facts.step = step;
  writer.finish(facts);
}

void damage(const RunDirectory& run, std::int64_t step) {
  const auto file = run.checkpoints() / checkpoint_folder_name(step) / "shard-00001.safetensors";
  std::string bytes = slurp(file);
  bytes.back() ^= 1;
  spill(file, bytes);
}

std::string refusal_of(const std::string& argument) {
  const Expected<ModelLocation> location = resolve_model(argument);
  return location ? "accepted" : to_string(location.error());
}

TEST(RunDirectory, KeepsItsConfigAndHowItCameToBe) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "runs" / "first";
  const RunDirectory made = make_run(path);
  const RunDirectory run = value_or_throw(RunDirectory::open(path));
  EXPECT_EQ(run.config(), kConfig);
  EXPECT_EQ(slurp(run.config_file()), kConfig);
  EXPECT_EQ(run.facts().program_version, "0.1.0");
  EXPECT_EQ(run.facts().machine.at("threads"), "2");
  EXPECT_EQ(run.facts().created, made.facts().created);
  EXPECT_EQ(run.facts().created.size(), 20u);
  EXPECT_TRUE(std::filesystem::is_directory(run.checkpoints()));
  EXPECT_TRUE(std::filesystem::is_directory(run.samples()));
  EXPECT_EQ(value_or_throw(RunDirectory::open_or_create(path, "other = 2\n", {})).config(), kConfig);
}

TEST(RunDirectory, IsNotMadeWhereSomethingElseStands) {
  TemporaryFolder folder;
  make_run(folder.path() / "run");
  EXPECT_FALSE(RunDirectory::create(folder.path() / "run", kConfig, {}));
  EXPECT_FALSE(RunDirectory::create(folder.path(), kConfig, {}));
  spill(folder.path() / "file", "text");
  EXPECT_FALSE(RunDirectory::create(folder.path() / "file", kConfig, {}));
  EXPECT_FALSE(RunDirectory::open(folder.path()));
  EXPECT_FALSE(RunDirectory::open(folder.path() / "absent"));
  spill(folder.path() / "run" / "run.json", "{}");
  EXPECT_FALSE(RunDirectory::open(folder.path() / "run"));
}

TEST(RunDirectory, ACreationThatWasCutShortIsCompleted) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "run";
  make_run(path);
  std::filesystem::remove(path / "run.json");
  spill(path / "run.json.tmp-123", "{");
  EXPECT_FALSE(RunDirectory::is_run(path));
  EXPECT_TRUE(RunDirectory::open_or_create(path, kConfig, {}));
  EXPECT_TRUE(RunDirectory::is_run(path));
}

TEST(RunDirectory, IsClaimedByOneCreatorAndLeavesNothingInAFolderOfOtherThings) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "new" / "run";
  {
    const Expected<RunLock> lock = RunDirectory::claim(path);
    ASSERT_TRUE(lock) << to_string(lock.error());
    EXPECT_FALSE(RunDirectory::claim(path));
    EXPECT_TRUE(RunDirectory::create(path, kConfig, {}));
  }
  const Expected<RunLock> late = RunDirectory::claim(path);  // its process has ended, and the run is there
  ASSERT_FALSE(late);
  EXPECT_NE(to_string(late.error()).find("found a run"), std::string::npos) << to_string(late.error());
  spill(folder.path() / "file", "text");
  EXPECT_FALSE(RunDirectory::claim(folder.path()));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "lock"));
}

TEST(RunLock, ASecondProcessIsRefusedWithTheIdOfTheFirstAndAKillFreesTheLock) {
  TemporaryFolder folder;
  const RunDirectory run = make_run(folder.path() / "run");
  std::array<int, 2> ready{};
  ASSERT_EQ(pipe(ready.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Expected<RunLock> lock = run.lock();
    const char state = lock ? 'y' : 'n';
    if (write(ready[1], &state, 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char state = 0;
  ASSERT_EQ(read(ready[0], &state, 1), 1);
  ASSERT_EQ(state, 'y');
  const Expected<RunLock> refused = run.lock();
  ASSERT_FALSE(refused);
  EXPECT_NE(to_string(refused.error()).find(fmt::format("process {} ", child)), std::string::npos)
      << to_string(refused.error());
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  {
    const Expected<RunLock> mine = run.lock();
    ASSERT_TRUE(mine) << to_string(mine.error());
    EXPECT_EQ(slurp(run.folder() / "lock"), fmt::format("{}\n", getpid()));
    EXPECT_FALSE(run.lock()) << "one at a time, also in one process";
  }
  EXPECT_TRUE(run.lock());
  close(ready[0]);
  close(ready[1]);
}

TEST(ResolveModel, FindsTheNewestGoodCheckpointOfARunAndSaysWhatItSkipped) {
  TemporaryFolder folder;
  const RunDirectory run = make_run(folder.path() / "run");
  EXPECT_NE(refusal_of(run.folder()).find("a run without a checkpoint yet"), std::string::npos);
  for (const std::int64_t step : {10, 20, 30}) save(run, step);
  EXPECT_EQ(resolve_model(run.folder())->checkpoint.facts().step, 30);
  damage(run, 30);
  const Expected<ModelLocation> location = resolve_model(run.folder().string() + "/");
  ASSERT_TRUE(location);
  EXPECT_EQ(location->checkpoint.facts().step, 20);
  EXPECT_NE(to_string(location->skipped).find("step-00000030/shard-00001.safetensors: found chunk 0"),
            std::string::npos);
  damage(run, 20);
  damage(run, 10);
  EXPECT_NE(refusal_of(run.folder()).find("a run without a good checkpoint"), std::string::npos);
}

TEST(ResolveModel, TakesAStepOfARunOrACheckpointFolder) {
  TemporaryFolder folder;
  const RunDirectory run = make_run(folder.path() / "r@n");
  for (const std::int64_t step : {10, 20, 30}) save(run, step);
  const std::string name = run.folder().string();
  EXPECT_EQ(resolve_model(name + "@20")->checkpoint.facts().step, 20);
  EXPECT_EQ(resolve_model(name + "@0000020")->checkpoint.facts().step, 20);
  const Expected<ModelLocation> inside = resolve_model(run.checkpoints() / "step-00000010");
  ASSERT_TRUE(inside);
  EXPECT_EQ(inside->run, std::filesystem::canonical(run.folder()));
  std::filesystem::copy(run.checkpoints() / "step-00000010", folder.path() / "copied");
  const Expected<ModelLocation> copied = resolve_model(folder.path() / "copied");
  ASSERT_TRUE(copied);
  EXPECT_EQ(copied->checkpoint.facts().step, 10);
  EXPECT_TRUE(copied->run.empty());
  EXPECT_NE(refusal_of(name + "@25").find("found no checkpoint of step 25"), std::string::npos);
  EXPECT_NE(refusal_of(name + "@25").find("try: one of the steps 10, 20, 30"), std::string::npos);
  EXPECT_NE(refusal_of(name + "@x").find("a step that is no number"), std::string::npos);
  EXPECT_NE(refusal_of(name + "@-1").find("a step that is no number"), std::string::npos);
  damage(run, 30);
  EXPECT_NE(refusal_of(name + "@30").find("try: " + name + "@20"), std::string::npos);
}

TEST(ResolveModel, RefusesEverythingElseWithWhatWouldWork) {
  TemporaryFolder folder;
  const RunDirectory run = make_run(folder.path() / "run");
  save(run, 10);
  const auto expect = [](const std::filesystem::path& argument, const std::string& part) {
    EXPECT_NE(refusal_of(argument).find(part), std::string::npos) << refusal_of(argument);
  };
  expect("", "found nothing");
  expect("no-such-run", "found nothing");
  expect("no-such-run@5", "found nothing");
  expect(folder.path(), "a folder without run.json");
  expect(run.checkpoints(), "try: " + run.folder().string());
  std::filesystem::create_directory(run.checkpoints() / "step-00000011.tmp-1");
  expect(run.checkpoints() / "step-00000011.tmp-1", "cut short");
  expect(run.checkpoints() / "step-00000010" / "manifest.json", "step-00000010");
  spill(folder.path() / "model.pt", "\x80\x02");
  expect(folder.path() / "model.pt", "pickle");
  ASSERT_EQ(mkfifo((folder.path() / "fifo").c_str(), 0600), 0);
  expect(folder.path() / "fifo", "a file");
  std::filesystem::create_directory(folder.path() / "trap");
  ASSERT_EQ(mkfifo((folder.path() / "trap" / "manifest.json").c_str(), 0600), 0);
  expect(folder.path() / "trap", "a FIFO");
}

}  // namespace
}  // namespace megalith
