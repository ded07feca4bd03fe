#include "app/training/metrics_sink.h"

#include <array>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

namespace megalith::app {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kTags{{
    {"validation_loss", "loss/held_out"},
    {"tokens_per_second", "speed/tokens_per_second"},
    {"step_ms", "speed/step_ms"},
    {"joules_per_token", "speed/joules_per_token"},
    {"mfu", "speed/mfu"},
    {"mfu_palm", "speed/mfu_palm"},
}};

EventTime now_at(std::int64_t step) {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {.wall = std::chrono::duration<double>(since).count(), .step = step};
}

// Four spaces before each line: TensorBoard shows it as it stands, without reading Markdown into it.
std::string as_block(std::string_view text) {
  std::string block = "    ";
  for (const char c : text) {
    block += c;
    if (c == '\n') block += "    ";
  }
  return block;
}

}  // namespace

std::string tensorboard_tag(std::string_view metric) {
  for (const auto& [name, tag] : kTags) {
    if (metric == name) return std::string(tag);
    if (metric.starts_with(name) && metric[name.size()] == '/') {
      return std::string(tag).append(metric.substr(name.size()));
    }
  }
  return std::string(metric);
}

Expected<MetricsSink> MetricsSink::open(const RunDirectory& run, bool tensorboard) {
  Expected<MetricsLog> metrics = MetricsLog::open(run.metrics_file());
  if (!metrics) return tl::unexpected(std::move(metrics).error());
  std::optional<EventLog> events;
  if (tensorboard) events.emplace(run.tensorboard());
  return MetricsSink(std::move(*metrics), std::move(events));
}

void MetricsSink::resumed(std::int64_t step) {
  // At step 0 only a validation of initial weights can stand, and it is done again.
  if (events_) events_->resume_after(step > 0 ? step : -1);
}

void MetricsSink::note(std::int64_t step, std::span<const NamedValue> values) {
  metrics_.append(step, values);
  if (!events_) return;
  std::vector<std::string> tags;
  for (const auto& [name, value] : values) tags.push_back(tensorboard_tag(name));
  std::vector<NamedValue> tagged;
  for (std::size_t v = 0; v < values.size(); ++v) {
    if (std::isfinite(values[v].second)) tagged.emplace_back(tags[v], values[v].second);
  }
  if (!tagged.empty()) events_->add_scalars(now_at(step), tagged);
}

void MetricsSink::note_ledger(const LedgerLine& line) {
  if (!events_) return;
  std::vector<NamedValue> values{{"optimizer/learning_rate", line.learning_rate}};
  if (!line.skipped) {  // a skipped step has no loss that means anything
    values.emplace_back("loss/training", line.loss);
    values.emplace_back("optimizer/gradient_norm", line.gradient_norm);
  }
  events_->add_scalars(now_at(line.step), values);
}

void MetricsSink::note_sample(std::int64_t step, const TrainingSample& sample) {
  if (!events_) return;
  events_->add_text(now_at(step), "sample",
                    fmt::format("{}\n\n---\n\n{}", as_block(sample.prompt), as_block(sample.text)));
}

}  // namespace megalith::app
