// The design that the covering test runs really covers, and notices when it does not.
#include "parallel/pairwise.h"

#include <gtest/gtest.h>

#include "parallel/layout_cases.h"

namespace megalith::test {
namespace {

std::set<ValuePair> covered_by(const std::vector<Row>& rows) {
  std::set<ValuePair> covered;
  for (const Row& row : rows) {
    for (const ValuePair& pair : pairs_of(row)) covered.insert(pair);
  }
  return covered;
}

TEST(Pairwise, FreeFactorsArePairedInFewRows) {
  const std::vector<Factor> factors(6, {"f", {"a", "b", "c"}});
  const PairwiseDesign design(factors, 2, [](const Row&) { return true; });
  EXPECT_EQ(design.possible().size(), 15U * 9U);  // pairs of factors, pairs of their values
  const std::vector<Row> rows = design.rows();
  EXPECT_EQ(covered_by(rows), design.possible());
  EXPECT_LE(rows.size(), 20U);  // 9 at least; 3^6 = 729 in all
}

TEST(Pairwise, WhatContradictsItselfIsNeitherCoveredNorAskedFor) {
  const std::vector<Factor> factors = {{"a", {"0", "1", "2"}}, {"b", {"0", "1", "2"}}, {"c", {"0", "1"}}};
  const PairwiseDesign design(factors, 2, [](const Row& row) { return row[0] + row[1] <= 2; });
  for (const Row& row : design.rows()) EXPECT_LE(row[0] + row[1], 2U);
  EXPECT_EQ(covered_by(design.rows()), design.possible());
  EXPECT_FALSE(design.possible().contains({0, 2, 1, 1}));
  EXPECT_EQ(design.possible().size(), 6U + 6U + 6U);
}

TEST(LayoutCases, CoverEveryPairOfValuesThatALegalRowHas) {
  const PairwiseDesign design = layout_design();
  const std::vector<Row> rows = design.rows();
  EXPECT_EQ(covered_by(rows), design.possible());
  EXPECT_GE(rows.size(), 16U);
  EXPECT_LE(rows.size(), 80U);
  // Every value of every factor is possible: no rule of the test's own leaves one out.
  std::set<std::pair<std::size_t, std::size_t>> values;
  for (const auto& [a, value_of_a, b, value_of_b] : design.possible())
    values.insert({{a, value_of_a}, {b, value_of_b}});
  std::size_t all = 0;
  for (const Factor& factor : design.factors()) all += factor.values.size();
  EXPECT_EQ(values.size(), all);
}

TEST(LayoutCases, AreTheSameEveryTime) {
  EXPECT_EQ(layout_design().rows(), layout_design().rows());
}

TEST(LayoutCases, ARowLessLeavesAPairOut) {
  const PairwiseDesign design = layout_design();
  std::vector<Row> rows = design.rows();
  rows.pop_back();
  EXPECT_NE(covered_by(rows), design.possible());
}

}  // namespace
}  // namespace megalith::test
