#include "pipeline/schedule_drawing.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace megalith {
namespace {

bool sends(Operation operation) {
  return operation == Operation::send_activation || operation == Operation::send_gradient;
}

// Of a pass in a text drawing, whose unit is the shortest pass.
std::string cell_of(const Bar& bar, int chunks) {
  const Operation operation = bar.instruction.operation;
  const char kind = operation == Operation::forward           ? 'F'
                    : operation == Operation::backward_weight ? 'W'
                                                              : 'B';
  std::string text = fmt::format("{}{}", kind, bar.instruction.micro_batch);
  if (chunks > 1) text += static_cast<char>('a' + bar.instruction.chunk % 26);
  return text;
}

// Shades of one colour per kind of pass, from the first chunk's to the last's.
struct Colour {
  int red, green, blue;
};
struct Shades {
  Colour first, last;
};
constexpr Shades kForward = {{47, 95, 208}, {164, 194, 247}};
constexpr Shades kBackward = {{28, 122, 75}, {158, 214, 180}};
constexpr Shades kWeight = {{214, 137, 16}, {250, 215, 150}};

const Shades& shades_of(Operation operation) {
  if (operation == Operation::forward) return kForward;
  return operation == Operation::backward_weight ? kWeight : kBackward;
}

Colour colour_of(Operation operation, int chunk, int chunks) {
  const Shades& shades = shades_of(operation);
  const double t = chunks == 1 ? 0 : static_cast<double>(chunk) / (chunks - 1);
  const auto mix = [t](int a, int b) { return static_cast<int>(std::lround(a + t * (b - a))); };
  return {mix(shades.first.red, shades.last.red), mix(shades.first.green, shades.last.green),
          mix(shades.first.blue, shades.last.blue)};
}

std::string to_hex(const Colour& colour) {
  return fmt::format("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue);
}

// White on dark, dark on light.
const char* ink_on(const Colour& colour) {
  return colour.red * 299 + colour.green * 587 + colour.blue * 114 > 140000 ? "#1d1f24" : "#ffffff";
}

class Svg {
 public:
  explicit Svg(const ScheduleTimeline& timeline) : timeline_(timeline), chunks_(timeline.shape.chunks) {
    const double room = 1100 - kLeft - kRight;
    unit_ = std::clamp(room / std::max(timeline.length, 1.0), 1.5, 44.0);
  }

  std::string draw() {
    const int stages = timeline_.shape.stages;
    const double width = std::max(kLeft + timeline_.length * unit_ + kRight, 640.0);
    const double height = kTop + stages * kRow + kBottom;
    text_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu "
        "Sans',sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        width, height);
    label(kMargin, 26, 16, "start", "#1d1f24", title(), true);
    label(kMargin, 46, 12.5, "start", "#646a75", subtitle());
    for (int rank = 0; rank < stages; ++rank) row(rank);
    legend(kTop + stages * kRow + 26);
    return text_ + "</svg>\n";
  }

 private:
  static constexpr double kMargin = 16, kLeft = 76, kRight = 16, kTop = 62, kBottom = 44, kRow = 32,
                          kBar = 28;

  [[nodiscard]] std::string title() const {
    const ScheduleShape& shape = timeline_.shape;
    std::string text = fmt::format("{}: {} stages", title_of(shape.kind), shape.stages);
    if (shape.chunks > 1) text += fmt::format(" x {} chunks", shape.chunks);
    return text + fmt::format(", {} micro batches", shape.micro_batches);
  }
  [[nodiscard]] std::string subtitle() const {
    const ScheduleFacts facts = facts_of(timeline_);
    return fmt::format("bubble {:.1f}% of the time; at most {} activations wait on a stage",
                       100 * facts.bubble, *std::max_element(facts.waiting.begin(), facts.waiting.end()));
  }

  void label(double x, double y, double size, const char* anchor, const char* ink, const std::string& words,
             bool bold = false) {
    text_ += fmt::format(
        "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" text-anchor=\"{}\" fill=\"{}\"{}>{}</text>\n", x, y,
        size, anchor, ink, bold ? " font-weight=\"600\"" : "", words);
  }
  void box(double x, double y, double width, double height, const std::string& fill, double radius) {
    text_ += fmt::format(
        "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" rx=\"{:.1f}\" fill=\"{}\"/>\n", x,
        y, width, height, radius, fill);
  }

  void row(int rank) {
    const double y = kTop + rank * kRow;
    label(kLeft - 10, y + kBar / 2 + 4.5, 12.5, "end", "#1d1f24", fmt::format("stage {}", rank));
    box(kLeft, y, timeline_.length * unit_, kBar, "#f0efeb", 3);
    for (const Bar& bar : timeline_.ranks[static_cast<std::size_t>(rank)]) pass(bar, y);
  }

  void pass(const Bar& bar, double y) {
    const Colour colour = colour_of(bar.instruction.operation, bar.instruction.chunk, chunks_);
    const double x = kLeft + bar.begin * unit_;
    const double width = (bar.end - bar.begin) * unit_;
    const double gap = std::min(1.0, width / 8);
    box(x + gap / 2, y, width - gap, kBar, to_hex(colour), std::min(3.0, width / 6));
    const std::string number = std::to_string(bar.instruction.micro_batch);
    const double size = std::min(12.0, (width - 2) / (0.62 * static_cast<double>(number.size())));
    if (size >= 6)
      label(x + width / 2, y + kBar / 2 + size * 0.36, std::floor(size * 10) / 10, "middle", ink_on(colour),
            number);
  }

  void legend(double y) {
    const bool halves = timeline_.shape.kind == ScheduleKind::zero_bubble;
    double x = kLeft;
    const auto entry = [&](const Operation* operation, const std::string& words) {
      for (int chunk = 0; chunk < (operation == nullptr ? 1 : chunks_); ++chunk) {
        box(x, y - 10, 13, 13,
            operation == nullptr ? "#f0efeb" : to_hex(colour_of(*operation, chunk, chunks_)), 3);
        x += 15;
      }
      label(x + 3, y + 1, 12, "start", "#1d1f24", words);
      x += 22 + 6.6 * static_cast<double>(words.size());
    };
    const Operation forward = Operation::forward;
    const Operation backward = Operation::backward;
    const Operation weight = Operation::backward_weight;
    const std::string by_chunk = chunks_ > 1 ? fmt::format(", chunk 0 to {}", chunks_ - 1) : "";
    entry(&forward, "forward" + by_chunk);
    entry(&backward, (halves ? "backward, input half" : "backward") + by_chunk);
    if (halves) entry(&weight, "backward, weight half");
    entry(nullptr, "idle");
  }

  const ScheduleTimeline& timeline_;
  int chunks_;
  double unit_ = 1;
  std::string text_;
};

double shortest_pass(const ScheduleTimeline& timeline) {
  double shortest = 0;
  for (const std::vector<Bar>& bars : timeline.ranks) {
    for (const Bar& bar : bars) {
      const double length = bar.end - bar.begin;
      if (shortest == 0 || length < shortest) shortest = length;
    }
  }
  return shortest == 0 ? 1 : shortest;
}

std::size_t cell_width(const ScheduleTimeline& timeline) {
  const Bar widest{{Operation::forward, 0, std::max(timeline.shape.micro_batches - 1, 0)}};
  return cell_of(widest, timeline.shape.chunks).size() + 1;
}

}  // namespace

const char* name_of(ScheduleKind kind) {
  constexpr std::array kNames = {"gpipe", "1f1b", "interleaved", "zero_bubble"};
  return kNames.at(static_cast<std::size_t>(kind));
}

const char* title_of(ScheduleKind kind) {
  constexpr std::array kTitles = {"GPipe", "1F1B", "Interleaved 1F1B", "Zero bubble (ZB-H1)"};
  return kTitles.at(static_cast<std::size_t>(kind));
}

ScheduleFacts facts_of(const ScheduleTimeline& timeline) {
  ScheduleFacts facts{.bubble = timeline.bubble(), .length = timeline.length, .waiting = {}};
  for (int rank = 0; rank < timeline.shape.stages; ++rank) {
    const std::vector<Instruction> list = training_schedule(timeline.shape, rank);
    facts.waiting.push_back(peak_in_flight(list));
    const auto sent =
        std::count_if(list.begin(), list.end(), [](const Instruction& i) { return sends(i.operation); });
    facts.sent = std::max<std::int64_t>(facts.sent, sent);
  }
  return facts;
}

std::int64_t text_columns(const ScheduleTimeline& timeline) {
  const double cells = std::ceil(timeline.length / shortest_pass(timeline));
  return static_cast<std::int64_t>(cells) * static_cast<std::int64_t>(cell_width(timeline));
}

std::string to_text(const ScheduleTimeline& timeline) {
  const double unit = shortest_pass(timeline);
  const std::size_t width = cell_width(timeline);
  const auto column = [&](double time) { return static_cast<std::size_t>(std::lround(time / unit)) * width; };
  std::string text;
  for (int rank = 0; rank < timeline.shape.stages; ++rank) {
    std::string row(column(timeline.length), ' ');
    for (std::size_t c = 0; c < row.size(); c += width) row[c] = '.';
    for (const Bar& bar : timeline.ranks[static_cast<std::size_t>(rank)]) {
      const std::size_t begin = column(bar.begin);
      const std::string cell = cell_of(bar, timeline.shape.chunks);
      row.replace(begin, column(bar.end) - begin - 1, column(bar.end) - begin - 1, '-');
      row.replace(begin, cell.size(), cell);
    }
    text += fmt::format("stage {:>3}  {}\n", rank, row);
  }
  return text;
}

std::string to_svg(const ScheduleTimeline& timeline) {
  return Svg(timeline).draw();
}

}  // namespace megalith
