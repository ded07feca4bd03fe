#include "app/plan/plan_schedule.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/console.h"
#include "app/number_range.h"
#include "core/file.h"
#include "pipeline/schedule_drawing.h"

namespace megalith::app {
namespace {

// A drawing nobody could look at, and minutes of work.
constexpr std::int64_t kMostPasses = 200'000;
constexpr std::int64_t kMostColumns = 400;

struct Options {
  int stages = 4, chunks = 1, micro_batches = 8;
  std::string schedule;  // empty: by the number of chunks
  std::filesystem::path svg_file;
  bool json = false;
};

ScheduleKind kind_of(const Options& options) {
  if (options.schedule.empty())
    return options.chunks > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  for (const ScheduleKind kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved,
                                  ScheduleKind::zero_bubble}) {
    if (options.schedule == name_of(kind)) return kind;
  }
  MEGALITH_CHECK(false, "schedule {}", options.schedule);
}

ScheduleShape shape_of(const Options& options) {
  const ScheduleShape shape{kind_of(options), options.stages, options.chunks, options.micro_batches};
  Refusals broken;
  const bool interleaved = shape.kind == ScheduleKind::interleaved;
  if (interleaved && shape.chunks < 2) {
    broken.push_back({.where = "--chunks",
                      .found = std::to_string(shape.chunks),
                      .allowed = "2 or more with --schedule interleaved",
                      .nearest = "2"});
  }
  if (!interleaved && shape.chunks > 1) {
    broken.push_back({.where = "--chunks",
                      .found = std::to_string(shape.chunks),
                      .allowed = "1 unless --schedule interleaved",
                      .nearest = "1, or --schedule interleaved"});
  }
  if (interleaved && shape.stages < 2) {
    broken.push_back({.where = "--stages",
                      .found = std::to_string(shape.stages),
                      .allowed = "2 or more with --schedule interleaved",
                      .nearest = "2"});
  }
  const std::int64_t passes = std::int64_t{shape.stages} * shape.chunks * shape.micro_batches;
  if (passes > kMostPasses) {
    broken.push_back(
        {.where = "--stages, --chunks, --micro-batches",
         .found = fmt::format("{} x {} x {} = {} forward passes", shape.stages, shape.chunks,
                              shape.micro_batches, passes),
         .allowed = fmt::format("at most {} to draw", kMostPasses),
         .nearest = fmt::format(
             "--micro-batches {}",
             std::max<std::int64_t>(kMostPasses / (std::int64_t{shape.stages} * shape.chunks), 1))});
  }
  if (!broken.empty()) throw RefusedInput(std::move(broken));
  return shape;
}

std::string describe(const ScheduleTimeline& timeline) {
  const ScheduleShape& shape = timeline.shape;
  const ScheduleFacts facts = facts_of(timeline);
  std::string text =
      fmt::format("{}: {} stage{}", title_of(shape.kind), shape.stages, shape.stages == 1 ? "" : "s");
  if (shape.chunks > 1) text += fmt::format(" x {} chunks", shape.chunks);
  text += fmt::format(", {} micro batch{}\n\n", shape.micro_batches, shape.micro_batches == 1 ? "" : "es");
  const std::int64_t columns = text_columns(timeline);
  text += columns <= kMostColumns ? to_text(timeline)
                                  : fmt::format("({} columns wide: --svg FILE draws it)\n", columns);
  const double ideal = facts.length * (1 - facts.bubble);
  text += fmt::format(
      "\nbubble            {:.1f}% of the time: {:.4g} forward passes long, {:.4g} of them work\n",
      100 * facts.bubble, facts.length, ideal);
  text += "activations wait  ";
  for (std::size_t rank = 0; rank < facts.waiting.size(); ++rank)
    text += fmt::format("{}{}", rank == 0 ? "" : ", ", facts.waiting[rank]);
  text += fmt::format(" at most, by stage{}\n", shape.chunks > 1 ? ", of a chunk each" : "");
  text += fmt::format("messages          {} sent by the busiest stage in a step\n", facts.sent);
  return text + "A backward pass takes two forward passes here, each of its halves one.\n";
}

std::string to_json(const ScheduleTimeline& timeline) {
  using nlohmann::ordered_json;
  const ScheduleFacts facts = facts_of(timeline);
  ordered_json object = {{"schedule", name_of(timeline.shape.kind)},
                         {"stages", timeline.shape.stages},
                         {"chunks", timeline.shape.chunks},
                         {"micro_batches", timeline.shape.micro_batches},
                         {"bubble", facts.bubble},
                         {"length", facts.length},
                         {"activations_waiting", facts.waiting},
                         {"messages_sent", facts.sent}};
  ordered_json ranks = ordered_json::array();
  for (const std::vector<Bar>& bars : timeline.ranks) {
    ordered_json list = ordered_json::array();
    for (const Bar& bar : bars) {
      list.push_back({{"pass", name_of(bar.instruction.operation)},
                      {"chunk", bar.instruction.chunk},
                      {"micro_batch", bar.instruction.micro_batch},
                      {"begin", bar.begin},
                      {"end", bar.end}});
    }
    ranks.push_back(std::move(list));
  }
  object["passes_of_stages"] = std::move(ranks);
  return object.dump();
}

ExitCode schedule(const Options& options) {
  const ScheduleTimeline timeline = play(shape_of(options));
  if (!options.svg_file.empty()) write_file_atomically(options.svg_file, to_svg(timeline));
  print(options.json ? to_json(timeline) + "\n" : describe(timeline));
  if (!options.svg_file.empty() && !options.json)
    print(fmt::format("drawn in {}\n", options.svg_file.string()));
  return ExitCode::done;
}

}  // namespace

void add_plan_schedule(CLI::App& plan, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = plan.add_subcommand("schedule", "What the stages of a pipeline do when, drawn");
  verb->add_option("--stages", options->stages, "Ranks that share the layers")
      ->check(between(1, 1024))
      ->capture_default_str();
  verb->add_option("--chunks", options->chunks, "Chunks of layers per stage; more than 1 if interleaved")
      ->check(between(1, 64))
      ->capture_default_str();
  verb->add_option("--micro-batches", options->micro_batches, "Of a step")
      ->check(between(1, 65536))
      ->capture_default_str();
  verb->add_option("--schedule", options->schedule, "1f1b unless there are chunks: then interleaved")
      ->check(CLI::IsMember({"gpipe", "1f1b", "interleaved", "zero_bubble"}));
  verb->add_option("--svg", options->svg_file, "Draw it as a picture, too")->type_name("FILE");
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options, &run] { run = [options] { return schedule(*options); }; });
}

}  // namespace megalith::app
