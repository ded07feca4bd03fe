// kill -9 at any moment of a save or an append: what has a final name is complete, and the run goes on.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "run/checkpoint_store.h"
#include "run/temporary_folder.h"

namespace megalith {
namespace {

LedgerLine line_of(std::int64_t step) {
  LedgerLine line;
  line.step = step;
  line.loss = 1.0 / static_cast<double>(step);
  return line;
}

// Appends and saves, step after step, from where the folder stands, until it is killed.
[[noreturn]] void train_forever(const std::filesystem::path& folder) {
  std::vector<float> weight(1 << 14);
  Ledger ledger = value_or_throw(Ledger::open(folder / "ledger.jsonl"));
  const NewestGood newest = newest_good_checkpoint(folder / "checkpoints");
  RecheckLog recheck = newest.checkpoint
                           ? value_or_throw(ledger.resume_after(*newest.checkpoint->facts().ledger))
                           : ledger.truncate_after(0);
  for (std::int64_t step = newest.checkpoint ? newest.checkpoint->facts().step + 1 : 1;; ++step) {
    if (recheck.check(line_of(step))) _exit(1);
    ledger.append(line_of(step));
    ledger.sync();
    CheckpointWriter writer(folder / "checkpoints", step, {.shard_bytes = 1 << 14, .chunk_bytes = 1 << 12});
    for (int t = 0; t < 4; ++t) {
      writer.add(fmt::format("t{}", t), Tensor(weight.data() + (t << 12), DType::f32, {1 << 12}));
    }
    CheckpointFacts facts;
    facts.step = step;
    facts.ledger = line_of(step);
    writer.finish(facts);
    prune_checkpoints(folder / "checkpoints", 2);
  }
}

TEST(Kill, AtAnyMomentLeavesOnlyWholeCheckpointsAndALedgerThatReachesThem) {
  test::TemporaryFolder folder;
  const std::filesystem::path checkpoints = folder.path() / "checkpoints";
  std::filesystem::create_directory(checkpoints);
  std::int64_t reached = 0;
  for (int round = 0; round < 12 || (reached == 0 && round < 200); ++round) {
    const pid_t child = fork();
    if (child == 0) train_forever(folder.path());
    usleep(static_cast<useconds_t>(3000 + 7919 * round));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it ended by itself";

    remove_unfinished_checkpoints(checkpoints);
    for (const auto& entry : std::filesystem::directory_iterator(checkpoints)) {
      EXPECT_TRUE(step_of_folder_name(entry.path().filename().string())) << entry.path();
    }
    for (const CheckpointEntry& entry : list_checkpoints(checkpoints)) {
      const Expected<void> sound = verify_checkpoint(entry.folder);
      EXPECT_TRUE(sound) << to_string(sound.error());
    }
    const NewestGood newest = newest_good_checkpoint(checkpoints);
    const std::int64_t step = newest.checkpoint ? newest.checkpoint->facts().step : 0;
    EXPECT_GE(step, reached) << "progress that was reported is never lost";
    reached = step;
    const LedgerText ledger = value_or_throw(read_ledger(folder.path() / "ledger.jsonl"));
    EXPECT_GE(static_cast<std::int64_t>(ledger.lines.size()), step);
  }
  EXPECT_GT(reached, 0);
}

}  // namespace
}  // namespace megalith
