// The table of everything a run measured.
#include "app/report/csv_table.h"

#include <gtest/gtest.h>

#include <limits>

#include "app/run_folder.h"

namespace megalith::app {
namespace {

LedgerLine ledger_line(std::int64_t step, double loss) {
  return {.step = step,
          .loss = loss,
          .gradient_norm = 1.5,
          .learning_rate = 0.1,
          .tokens = 64 * step,
          .loss_tokens = 60,
          .skipped = step == 2};
}

TEST(CsvTable, HasARowPerStepAndAColumnPerMetric) {
  const std::vector<LedgerLine> ledger{ledger_line(1, 4.25), ledger_line(2, 1.0 / 3)};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<MetricsLine> metrics{{.step = 0, .values = {{"validation_loss", 5}}},
                                         {.step = 1, .values = {{"mfu", 0.5}}},
                                         {.step = 2, .values = {{"mfu", nan}, {"validation_loss", 4}}}};
  EXPECT_EQ(csv_table(ledger, metrics),
            "step,loss,gradient_norm,learning_rate,tokens,loss_tokens,skipped,mfu,validation_loss\n"
            "0,,,,,,,,5\n"
            "1,4.25,1.5,0.1,64,60,0,0.5,\n"
            "2,0.3333333333333333,1.5,0.1,128,60,1,,4\n");
}

TEST(CsvTable, TakesTheLastOfSeveralValues) {
  const std::vector<MetricsLine> metrics{{.step = 7, .values = {{"mfu", 1}}},
                                         {.step = 7, .values = {{"mfu", 2}}}};
  EXPECT_NE(csv_table({}, metrics).find("\n7,,,,,,,2\n"), std::string::npos);
}

TEST(CsvTable, QuotesNamesThatHoldCommasAndQuotes) {
  const std::vector<MetricsLine> metrics{{.step = 1, .values = {{"validation_loss/a,\"b\"", 1}}}};
  EXPECT_NE(csv_table({}, metrics).find(",\"validation_loss/a,\"\"b\"\"\"\n"), std::string::npos);
}

TEST(CsvTable, IsRefusedForWhatIsNoRunAndForADamagedOne) {
  const RunFolder folder;
  EXPECT_FALSE(csv_of_run(folder.path()));
  folder.write("ledger.jsonl", "not JSON\n");
  const Expected<std::string> damaged = csv_of_run(folder.path());
  ASSERT_FALSE(damaged);
  EXPECT_NE(damaged.error().front().where.find("ledger.jsonl:1"), std::string::npos);
}

}  // namespace
}  // namespace megalith::app
