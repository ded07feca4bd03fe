// The best checkpoint by held-out loss, and RUN@best.
#include "run/best_checkpoint.h"

#include "run/checkpoint_store.h"
#include "run/model_location.h"
#include "run/run_directory.h"
#include "run/temporary_folder.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

void save(const fs::path& checkpoints, std::int64_t step, std::optional<HeldOutNote> note) {
  float weight[4] = {1, 2, 3, static_cast<float>(step)};
  CheckpointWriter writer(checkpoints, step);
  writer.add("weight", Tensor(weight, DType::f32, {4}));
  LedgerLine line;
  line.step = step;
  CheckpointFacts facts;
  facts.step = step;
  facts.ledger = line;
  if (note) put_held_out(*note, facts);
  writer.finish(facts);
}

std::int64_t step_of(const BestGood& best) {
  return best.checkpoint ? best.checkpoint->facts().step : -1;
}

TEST(BestCheckpoint, HasTheLeastLossAndIsTheEarliestOfEquals) {
  const TemporaryFolder folder;
  EXPECT_EQ(step_of(best_good_checkpoint(folder.path())), -1);
  save(folder.path(), 1, HeldOutNote{3.5, "a"});
  save(folder.path(), 2, HeldOutNote{1.0 / 3, "a"});
  save(folder.path(), 3, HeldOutNote{1.0 / 3, "a"});
  save(folder.path(), 4, std::nullopt);
  const BestGood best = best_good_checkpoint(folder.path());
  EXPECT_EQ(step_of(best), 2);
  EXPECT_EQ(best.loss, 1.0 / 3);  // all digits came back
  EXPECT_EQ(step_of(best_good_checkpoint(folder.path(), std::nullopt, 1)), 1);
}

TEST(BestCheckpoint, ComparesOnlyWhatWasMeasuredAlike) {
  const TemporaryFolder folder;
  save(folder.path(), 1, HeldOutNote{1, "64 sequences of a"});
  save(folder.path(), 2, HeldOutNote{3, "64 sequences of b"});
  save(folder.path(), 3, HeldOutNote{4, "64 sequences of b"});
  EXPECT_EQ(step_of(best_good_checkpoint(folder.path())), 2);  // as the newest was
  EXPECT_EQ(step_of(best_good_checkpoint(folder.path(), "64 sequences of a")), 1);
  EXPECT_EQ(step_of(best_good_checkpoint(folder.path(), "64 sequences of c")), -1);
}

TEST(BestCheckpoint, PassesOverDamageAndSaysSo) {
  const TemporaryFolder folder;
  for (const std::int64_t step : {1, 2, 3}) save(folder.path(), step, HeldOutNote{5.0 - step, "a"});
  const fs::path shard = folder.path() / checkpoint_folder_name(3) / "shard-00001.safetensors";
  test::overwrite(shard, fs::file_size(shard) - 1, 'x');
  const BestGood best = best_good_checkpoint(folder.path());
  EXPECT_EQ(step_of(best), 2);
  ASSERT_EQ(best.skipped.size(), 1u);
  EXPECT_NE(best.skipped[0].where.find("step-00000003"), std::string::npos);
}

TEST(BestCheckpoint, ReadsNoNoteThatIsNoNumber) {
  CheckpointFacts facts;
  put_held_out({2, "a"}, facts);
  for (const char* text : {"", "nan", "inf", "2x", "two"}) {
    facts.notes["held_out_loss"] = text;
    EXPECT_FALSE(held_out_of(facts)) << text;
  }
}

TEST(BestCheckpoint, IsWhatRunAtBestMeans) {
  const TemporaryFolder folder;
  const fs::path run_folder = folder.path() / "run";
  const RunDirectory run = value_or_throw(RunDirectory::create(run_folder, "", {}));
  save(run.checkpoints(), 5, std::nullopt);
  const Expected<ModelLocation> none = resolve_model(run_folder.string() + "@best");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error()[0].nearest.find("checkpoint.keep_best"), std::string::npos);
  save(run.checkpoints(), 6, HeldOutNote{2, "a"});
  save(run.checkpoints(), 7, HeldOutNote{3, "a"});
  const ModelLocation best = value_or_throw(resolve_model(run_folder.string() + "@best"));
  EXPECT_EQ(best.checkpoint.facts().step, 6);
}

}  // namespace
}  // namespace megalith
