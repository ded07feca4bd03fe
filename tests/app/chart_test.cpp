#include "app/report/svg_chart.h"

#include <gtest/gtest.h>

#include <limits>

#include "app/html_check.h"
#include "app/report/numbers.h"

namespace megalith::app {
namespace {

Chart chart_of(Points points) {
  return {.title = "t",
          .y_label = "y",
          .lines = {{.label = "l", .points = std::move(points), .smooth = true, .dots = true}}};
}

void expect_sound(const std::string& svg) {
  EXPECT_EQ(html_problem(svg), "");
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(RoundTicks, AreRoundAndInside) {
  EXPECT_EQ(round_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  for (const auto& [low, high] : {std::pair{0.0, 1e-9}, {-3.0, 7e12}, {999.0, 1001.0}, {-1e30, 1e30}}) {
    const std::vector<double> ticks = round_ticks(low, high, 4);
    ASSERT_GE(ticks.size(), 2u) << low << ".." << high;
    EXPECT_LE(ticks.size(), 12u);
    EXPECT_GE(ticks.front(), low);
    EXPECT_LE(ticks.back(), high);
  }
}

TEST(LineChart, IsEmptyWithoutPoints) {
  EXPECT_EQ(line_chart(chart_of({})), "");
}

TEST(LineChart, DrawsOnePointAConstantAndExtremes) {
  const double huge = std::numeric_limits<double>::max();
  expect_sound(line_chart(chart_of({{1, 2}})));
  expect_sound(line_chart(chart_of({{1, 0}, {2, 0}})));
  expect_sound(line_chart(chart_of({{0, -huge}, {1, huge}})));
  expect_sound(line_chart(chart_of({{0, 5e-324}, {1, 1e-300}, {2, 1}})));
  expect_sound(line_chart(chart_of({{1e14, 3}, {1e14 + 1, 4}})));
}

TEST(LineChart, StaysSmallWithAMillionPoints) {
  Points points;
  for (int i = 0; i < 1'000'000; ++i) points.push_back({static_cast<double>(i), 2.0 + i % 10});
  const std::string svg = line_chart(chart_of(points));
  expect_sound(svg);
  EXPECT_LT(svg.size(), 100'000u);
  EXPECT_NE(svg.find("band"), std::string::npos);
}

TEST(LineChart, IsLogarithmicOnlyOverALargeRange) {
  EXPECT_EQ(line_chart(chart_of({{0, 3}, {1, 9}})).find("log scale"), std::string::npos);
  EXPECT_NE(line_chart(chart_of({{0, 3}, {1, 90}})).find("log scale"), std::string::npos);
  EXPECT_EQ(line_chart(chart_of({{0, 0}, {1, 90}})).find("log scale"), std::string::npos);
}

TEST(BarChart, EscapesLabelsAndBearsZeros) {
  const std::string svg = bar_chart("<t>", {{"<b>", 0, true}, {"x", 0, false}});
  expect_sound(svg);
  EXPECT_NE(svg.find("&lt;b&gt;"), std::string::npos);
}

TEST(Compact, ReadsAsPeopleWrite) {
  EXPECT_EQ(compact(0), "0");
  EXPECT_EQ(compact(0.5), "0.5");
  EXPECT_EQ(compact(1234), "1,234");
  EXPECT_EQ(compact(14500), "14.5k");
  EXPECT_EQ(compact(4286464), "4.29M");
  EXPECT_EQ(compact(std::numeric_limits<double>::infinity()), "n/a");
  EXPECT_EQ(duration_text(185), "3 min 5 s");
  EXPECT_EQ(fixed(2.0814, 3), "2.081");
}

}  // namespace
}  // namespace megalith::app
