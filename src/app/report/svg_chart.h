// Charts as inline SVG. Colours come from classes of the page's style sheet (page_style.h), so one chart
// serves light, dark and print. Nothing is interactive and nothing is loaded.
#pragma once

#include <string>
#include <vector>

#include "app/report/run_summary.h"

namespace megalith::app {

struct Line {
  std::string label;        // for the legend
  std::string style = "a";  // class: "a" the main colour, "b" the second
  Points points;
  bool smooth = false;  // a moving average over a faint band of what it averages
  bool dots = false;    // marks every point: for few points
};

struct Chart {
  std::string title;  // for screen readers
  std::string y_label;
  int width = 480;  // of the view box; the page scales it
  int height = 260;
  bool may_be_logarithmic = true;
  std::vector<Line> lines;
};

// A line chart over steps. The y axis is logarithmic when it may be, all values are positive and span more
// than a factor of ten. Without a single point: an empty string. Any number of points gives at most a few
// thousand path commands.
std::string line_chart(const Chart& chart);

struct Bar {
  std::string label;
  double value = 0;
  bool ours = false;
};

// Horizontal bars, in the order given, from zero. REQUIRES: values are finite and not negative.
std::string bar_chart(const std::string& title, const std::vector<Bar>& bars);

// Round numbers that cut [low, high] into about `count` parts; at least two. REQUIRES: low < high, both
// finite.
std::vector<double> round_ticks(double low, double high, int count);

}  // namespace megalith::app
