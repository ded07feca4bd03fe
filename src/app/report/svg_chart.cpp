#include "app/report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "app/report/escape.h"
#include "app/report/numbers.h"

namespace megalith::app {
namespace {

constexpr int kLeft = 52;  // room for the numbers of the y axis
constexpr int kRight = 12;
constexpr int kTop = 30;     // room for the legend
constexpr int kBottom = 34;  // room for the numbers of the x axis
constexpr std::size_t kMostColumns = 400;

// A linear or logarithmic map from values to pixels.
struct Axis {
  double low = 0, high = 1;  // in the scale's own units: log10 when logarithmic
  double from = 0, to = 1;   // pixels
  bool logarithmic = false;
  [[nodiscard]] double at(double value) const {
    const double scaled = logarithmic ? std::log10(value) : value;
    return from + (to - from) * (scaled - low) / (high - low);
  }
};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void cover(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// Beyond these a curve is broken; clamping keeps differences of two values finite.
double tame(double value) {
  return std::clamp(value, -1e30, 1e30);
}

Axis axis_over(Range range, double from, double to, bool may_be_logarithmic) {
  Axis axis{.from = from, .to = to};
  if (may_be_logarithmic && range.low > 1e-30 && range.high > 10 * range.low) {
    axis.logarithmic = true;
    axis.low = std::log10(range.low);
    axis.high = std::log10(range.high);
  } else {
    axis.low = range.low;
    axis.high = range.high;
  }
  if (!(axis.high - axis.low > 1e-12 * std::fabs(axis.high))) {  // a constant
    const double margin = axis.high == 0 ? 1 : 0.5 * std::fabs(axis.high);
    axis.low -= margin;
    axis.high += margin;
  }
  return axis;
}

// Leaves a little air above and below the curve, but does not cross zero for it.
void widen(Axis& axis) {
  const double air = 0.05 * (axis.high - axis.low);
  const bool touches_zero = !axis.logarithmic && axis.low >= 0 && axis.low - air < 0;
  axis.low = touches_zero ? 0 : axis.low - air;
  axis.high += air;
}

// 1, 2, 5 per decade where there is room, else decades.
std::vector<double> logarithmic_ticks(const Axis& axis) {
  std::vector<double> ticks;
  const bool wide = axis.high - axis.low > 2.5;
  const int stride = std::max(1, static_cast<int>((axis.high - axis.low) / 6));
  for (int decade = static_cast<int>(std::floor(axis.low)); decade <= axis.high; ++decade) {
    for (const double digit : {1.0, 2.0, 5.0}) {
      if ((wide && digit != 1.0) || (wide && decade % stride != 0)) continue;
      const double value = digit * std::pow(10.0, decade);
      if (std::log10(value) >= axis.low && std::log10(value) <= axis.high) ticks.push_back(value);
    }
  }
  return ticks;
}

// What a column of pixels shows of all points that fall into it.
struct Column {
  double x = 0, low = 0, high = 0, mean = 0;
};

std::vector<Column> columns_of(const Points& points) {
  std::vector<Column> columns;
  const std::size_t per_column = (points.size() + kMostColumns - 1) / kMostColumns;
  for (std::size_t start = 0; start < points.size(); start += per_column) {
    const std::size_t end = std::min(start + per_column, points.size());
    Range range;
    double sum = 0;
    for (std::size_t i = start; i < end; ++i) {
      range.cover(tame(points[i].y));
      sum += tame(points[i].y);
    }
    const double count = static_cast<double>(end - start);
    columns.push_back({0.5 * (points[start].x + points[end - 1].x), range.low, range.high, sum / count});
  }
  return columns;
}

// Averages `window` neighbours on either side.
std::vector<Column> smoothed(const std::vector<Column>& columns, std::size_t window) {
  std::vector<Column> result = columns;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::size_t reach = std::min({window, i, columns.size() - 1 - i});
    double sum = 0;
    for (std::size_t j = i - reach; j <= i + reach; ++j) sum += columns[j].mean;
    result[i].mean = sum / static_cast<double>(2 * reach + 1);
  }
  return result;
}

std::string path_through(const std::vector<Column>& columns, const Axis& x, const Axis& y) {
  std::string path;
  for (const Column& column : columns) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x.at(column.x), y.at(column.mean));
  }
  return path;
}

std::string band_around(const std::vector<Column>& columns, const Axis& x, const Axis& y) {
  std::string path;
  for (const Column& column : columns) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x.at(column.x), y.at(column.high));
  }
  for (auto column = columns.rbegin(); column != columns.rend(); ++column) {
    path += fmt::format("L{:.1f} {:.1f}", x.at(column->x), y.at(column->low));
  }
  return path + "Z";
}

std::string draw(const Line& line, const Axis& x, const Axis& y) {
  const std::vector<Column> columns = columns_of(line.points);
  if (columns.empty()) return "";
  std::string svg;
  if (line.smooth && columns.size() > 8) {
    const bool one_point_each = columns.size() == line.points.size();
    svg += one_point_each
               ? fmt::format("<path class=\"faint {}\" d=\"{}\"/>", line.style, path_through(columns, x, y))
               : fmt::format("<path class=\"band {}\" d=\"{}\"/>", line.style, band_around(columns, x, y));
    svg += fmt::format("<path class=\"line {}\" d=\"{}\"/>", line.style,
                       path_through(smoothed(columns, columns.size() / 50 + 1), x, y));
  } else if (columns.size() > 1) {
    svg += fmt::format("<path class=\"line {}\" d=\"{}\"/>", line.style, path_through(columns, x, y));
  }
  if ((line.dots && columns.size() <= 60) || columns.size() == 1) {
    for (const Column& column : columns) {
      svg += fmt::format(
          "<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>step {}: {}</title></circle>",
          line.style, x.at(column.x), y.at(column.mean), compact(column.x), compact(column.mean));
    }
  }
  return svg;
}

std::string draw_grid(const Chart& chart, const Axis& x, const Axis& y) {
  std::string svg;
  const double bottom = chart.height - kBottom;
  const auto y_ticks = y.logarithmic ? logarithmic_ticks(y) : round_ticks(y.low, y.high, chart.height / 55);
  for (const double tick : y_ticks) {
    const double at = y.at(tick);
    svg += fmt::format("<path class=\"rule\" d=\"M{} {:.1f}H{}\"/>", kLeft, at, chart.width - kRight);
    svg += fmt::format("<text class=\"tick end\" x=\"{}\" y=\"{:.1f}\">{}</text>", kLeft - 7, at + 4,
                       compact(tick));
  }
  for (const double tick : round_ticks(x.low, x.high, chart.width / 110)) {
    svg += fmt::format("<text class=\"tick middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x.at(tick),
                       bottom + 17, compact(tick));
  }
  svg += fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>", kLeft, bottom, chart.width - kRight);
  svg += fmt::format("<text class=\"tick end\" x=\"{}\" y=\"{}\">step</text>", chart.width - kRight,
                     chart.height - 2);
  return svg;
}

std::string draw_legend(const Chart& chart, bool logarithmic) {
  std::string svg = fmt::format("<text class=\"label\" x=\"2\" y=\"14\">{}{}</text>",
                                escape_html(chart.y_label), logarithmic ? " (log scale)" : "");
  double x = chart.width - kRight;
  for (auto line = chart.lines.rbegin(); line != chart.lines.rend(); ++line) {
    if (line->label.empty() || line->points.empty()) continue;
    svg +=
        fmt::format("<text class=\"label end\" x=\"{:.0f}\" y=\"14\">{}</text>", x, escape_html(line->label));
    x -= 7.2 * static_cast<double>(line->label.size()) + 8;
    svg += fmt::format("<path class=\"line {}\" d=\"M{:.0f} 10h-16\"/>", line->style, x + 2);
    x -= 30;
  }
  return svg;
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int count) {
  const double rough = (high - low) / std::max(count, 1);
  const double decade = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * decade;
  for (const double digit : {1.0, 2.0, 5.0}) {
    if (digit * decade >= 0.8 * rough) {
      step = digit * decade;
      break;
    }
  }
  while (std::floor(high / step) - std::ceil(low / step) < 1) step /= 2;
  std::vector<double> ticks;
  for (double i = std::ceil(low / step); i * step <= high && ticks.size() < 50; ++i)
    ticks.push_back(i * step);
  return ticks;
}

std::string line_chart(const Chart& chart) {
  Range x_range;
  Range y_range;
  for (const Line& line : chart.lines) {
    for (const Point& point : line.points) {
      x_range.cover(point.x);
      y_range.cover(tame(point.y));
    }
  }
  if (!(x_range.low <= x_range.high)) return "";
  const Axis x = axis_over(x_range, kLeft, chart.width - kRight, false);
  Axis y = axis_over(y_range, chart.height - kBottom, kTop, chart.may_be_logarithmic);
  widen(y);
  std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", chart.width,
                                chart.height, escape_html(chart.title));
  svg += draw_grid(chart, x, y);
  for (const Line& line : chart.lines) svg += draw(line, x, y);
  return svg + draw_legend(chart, y.logarithmic) + "</svg>";
}

std::string bar_chart(const std::string& title, const std::vector<Bar>& bars) {
  constexpr int kWidth = 480;
  constexpr int kRow = 44;
  double longest = 1e-9;
  for (const Bar& bar : bars) longest = std::max(longest, bar.value);
  std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", kWidth,
                                kRow * bars.size() + 4, escape_html(title));
  int y = 0;
  for (const Bar& bar : bars) {
    const double width = std::max(2.0, (kWidth - 62) * bar.value / longest);
    const char* style = bar.ours ? "ours" : "theirs";
    svg += fmt::format("<text class=\"label {}\" x=\"0\" y=\"{}\">{}</text>", style, y + 15,
                       escape_html(bar.label));
    svg += fmt::format("<rect class=\"{}\" x=\"0\" y=\"{}\" width=\"{:.1f}\" height=\"14\" rx=\"3\"/>", style,
                       y + 21, width);
    svg += fmt::format("<text class=\"label {}\" x=\"{:.1f}\" y=\"{}\">{}</text>", style, width + 8, y + 33,
                       fixed(bar.value, 3));
    y += kRow;
  }
  return svg + "</svg>";
}

}  // namespace megalith::app
