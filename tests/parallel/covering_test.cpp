// The same bits in every layout: rows that have every pair of values of eighteen factors, each compared with
// one rank over twenty steps.
#include <gtest/gtest.h>

#include "parallel/layout_cases.h"
#include "train/layout_rules.h"
#include "train/layout_trial.h"

namespace megalith::test {
namespace {

constexpr std::int64_t kSteps = 20;

const std::vector<Row>& all_rows() {
  static const std::vector<Row> kRows = all_layout_rows();
  return kRows;
}

class Covering : public testing::TestWithParam<std::size_t> {};

TEST_P(Covering, ALayoutHasTheBitsOfOneRank) {
  static const PairwiseDesign kDesign = layout_design();
  const Row& row = all_rows()[GetParam()];
  SCOPED_TRACE(kDesign.describe(row));
  LayoutCase laid_out = layout_case(row);
  const TrialSetup setup{.train = *laid_out.data,
                         .make_device = [&] { return device_of_rank(laid_out.threads); },
                         .steps = kSteps};
  const LayoutTrial found = try_layout(laid_out.config, setup);
  laid_out.config.parallel = {.data = 1};
  laid_out.config.batch.micro = 1;
  laid_out.threads = 1;
  const LayoutTrial expected = try_layout(laid_out.config, setup);
  const auto difference = first_difference(expected, found);
  if (difference) {
    FAIL() << "step " << difference->step << ": " << difference->what << " " << difference->expected
           << ", found " << difference->found;
  }
  ASSERT_EQ(expected.steps.size(), static_cast<std::size_t>(kSteps));
  EXPECT_FALSE(expected.steps.back().skipped);
  EXPECT_NE(expected.steps.front().loss, expected.steps.back().loss) << "nothing is trained";
}

INSTANTIATE_TEST_SUITE_P(Rows, Covering, testing::Range<std::size_t>(0, all_rows().size()));

}  // namespace
}  // namespace megalith::test
