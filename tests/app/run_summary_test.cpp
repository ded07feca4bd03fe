#include "app/report/run_summary.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "app/run_folder.h"

namespace megalith::app {
namespace {

TEST(ReadRun, FindsEverythingARunLeaves) {
  const RunFolder folder;
  folder.fill(200);
  const RunSummary run = value_or_throw(read_run(folder.path()));
  EXPECT_EQ(run.loss.size(), 200u);
  EXPECT_EQ(run.validation_loss.size(), 1u);
  EXPECT_EQ(fact(run, "machine.processor"), "a processor");
  EXPECT_EQ(fact(run, "processor"), "a processor");
  EXPECT_EQ(number_fact(run, "parameters"), 4286464);
  ASSERT_TRUE(run.evaluation.has_value());
  EXPECT_EQ(run.evaluation->baselines.size(), 2u);
  EXPECT_EQ(run.samples.size(), 1u);
  EXPECT_TRUE(run.notes.empty());
}

TEST(ReadRun, RefusesWhatIsNotARun) {
  const RunFolder folder;
  EXPECT_FALSE(read_run(folder.path()).has_value());
  EXPECT_FALSE(read_run(folder.path() / "nothing").has_value());
  folder.write("config.toml", "");
  EXPECT_FALSE(read_run(folder.path() / "config.toml").has_value());
  EXPECT_TRUE(read_run(folder.path()).has_value());
}

TEST(ReadRun, TakesTheLaterOfTwoLinesOfOneStep) {
  const RunFolder folder;
  folder.write("ledger.jsonl", "{\"step\":1,\"loss\":9}\n{\"step\":2,\"loss\":8}\n{\"step\":1,\"loss\":7}\n");
  const RunSummary run = value_or_throw(read_run(folder.path()));
  ASSERT_EQ(run.loss.size(), 2u);
  EXPECT_EQ(run.loss[0].y, 7);
  EXPECT_EQ(run.loss[1].y, 8);
}

TEST(ReadRun, SurvivesBrokenLinesAndNamesThem) {
  const RunFolder folder;
  folder.write("ledger.jsonl",
               "{\"step\":1,\"loss\":9}\nnonsense\n{\"step\":\"2\"}\n[1]\n{\"step\":-1,\"loss\":1}\n"
               "{\"step\":3,\"loss\":1e999}\n{\"step\":4,\"loss\":null}\n{\"step\":5,\"lo");
  const RunSummary run = value_or_throw(read_run(folder.path()));
  EXPECT_EQ(run.loss.size(), 1u);
  ASSERT_EQ(run.notes.size(), 1u);
  EXPECT_NE(run.notes[0].find("ledger.jsonl"), std::string::npos);
}

TEST(ReadRun, SurvivesHostileDocuments) {
  const RunFolder folder;
  folder.write("ledger.jsonl", std::string(100'000, '[') + "\n" + std::string(2'000'000, ' ') + "{}\n");
  folder.write("run.json", std::string(1'000'000, '['));
  folder.write("evaluation.json", R"({"held_out_bits_per_byte":-1,"baselines":{}})");
  folder.write("config.toml", std::string(5'000'000, 'x'));
  folder.write("samples/a.json", R"([{"text":1},{"text":"good"},[],null])");
  folder.write("samples/b.json", "\xFF\xFE");
  const RunSummary run = value_or_throw(read_run(folder.path()));
  EXPECT_FALSE(run.evaluation.has_value());
  EXPECT_EQ(run.samples.size(), 1u);
  EXPECT_EQ(run.notes.size(), 5u);
}

TEST(ReadRun, ShowsTheSamplesOfTheLatestSteps) {
  const RunFolder folder;
  folder.write("config.toml", "");
  for (int step = 1; step <= 40; ++step) {
    folder.write("samples/step-" + std::to_string(step) + ".json",
                 "{\"step\":" + std::to_string(step) + ",\"text\":\"x\"}");
  }
  folder.write("samples/final-0.json", "{\"step\":41,\"text\":\"last\"}");
  const RunSummary run = value_or_throw(read_run(folder.path()));
  EXPECT_LT(run.samples.size(), 40u);
  EXPECT_EQ(run.samples.back().text, "last");
  EXPECT_EQ(run.samples[run.samples.size() - 2].step, 40);
}

TEST(ReadRun, KeepsBytesThatAreNotUtf8Visible) {
  const RunFolder folder;
  folder.write("config.toml", "");
  folder.write("samples/a.json", "{\"step\":1,\"prompt\":\"p\",\"text\":\"caf\xE9\"}");
  const RunSummary run = value_or_throw(read_run(folder.path()));
  ASSERT_EQ(run.samples.size(), 1u);
  EXPECT_EQ(run.samples[0].text, "caf\\xE9");
}

TEST(ReadRun, DoesNotWaitAtAFifo) {
  const RunFolder folder;
  folder.write("config.toml", "");
  ASSERT_EQ(::mkfifo((folder.path() / "run.json").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((folder.path() / "ledger.jsonl").c_str(), 0600), 0);
  EXPECT_EQ(value_or_throw(read_run(folder.path())).notes.size(), 2u);
}

}  // namespace
}  // namespace megalith::app
