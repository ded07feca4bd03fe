#include "app/training/progress.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/console.h"
#include "app/interrupt.h"
#include "app/report/numbers.h"
#include "app/training/memory_use.h"
#include "app/training/samples.h"
#include "core/file.h"

namespace megalith::app {
namespace {

constexpr double kSecondsBetweenLines = 10;  // without a terminal

// "layers" and the like are fixed; only what moves stands in the line.
std::string step_line(const LedgerLine& line, std::int64_t steps, double tokens_per_second, double share,
                      double seconds_left) {
  std::string text = fmt::format("step {}/{}  loss {:.4f}  {} tokens/s", line.step, steps, line.loss,
                                 compact(tokens_per_second));
  if (share > 0) text += fmt::format("  {:.0f}% of peak", 100 * share);
  if (line.skipped) text += "  SKIPPED: " + line.bad;
  return text + "  ETA " + duration_text(seconds_left);
}

}  // namespace

Progress::Progress(const TrainConfig& config, Trainer& trainer, const RunDirectory& run, MetricsSink& metrics,
                   const DataSources& data, ProgressStyle style)
    : config_(config),
      batches_(config.batch),
      trainer_(trainer),
      run_(run),
      metrics_(metrics),
      data_(data),
      style_(style),
      norms_(config, trainer),
      flops_per_token_causal_(
          static_cast<double>(training_flops_causal(config.model, config.batch.sequence).flops)),
      flops_per_token_palm_(
          static_cast<double>(training_flops_palm(config.model, config.batch.sequence).flops)),
      peak_flops_(style.devices * trainer.device().peak_flops(config.numerics.compute)) {}

void Progress::say(const std::string& line) {
  if (style_.json) return;
  print((live_line_open_ ? "\r\x1b[K" : "") + line + "\n");
  flush_output();  // somebody may watch a file or a pipe
  live_line_open_ = false;
}

void Progress::resumed(std::int64_t step, std::int64_t to_recheck, const Refusals& damaged) {
  for (const Refusal& refusal : damaged) complain("passed over a damaged checkpoint: " + to_string(refusal));
  metrics_.resumed(step);
  say(step > 0 ? fmt::format("resumed after step {}", step)
               : "starting again: no checkpoint was written yet");
  if (to_recheck > 0) {
    say(fmt::format("re-checking {} step{} that the ledger already has", to_recheck,
                    to_recheck == 1 ? "" : "s"));
  }
  begin_measuring();
}

void Progress::rechecked(std::int64_t steps) {
  say(fmt::format("resume verified: {} step{} came out with the same bits", steps, steps == 1 ? "" : "s"));
}

double Progress::tokens_per_second() const {
  return seconds_ > 0 ? static_cast<double>(tokens_) / seconds_ : 0;
}

void Progress::begin_measuring() {
  energy_.joules();
  step_start_ = Clock::now();
}

void Progress::step_begins(std::int64_t step) {
  if (norms_.begin(step)) begin_measuring();
}

void Progress::step_done(const LedgerLine& line) {
  const Clock::time_point now = Clock::now();
  const std::optional<double> joules = energy_.joules();
  const double seconds = std::chrono::duration<double>(now - step_start_).count();
  const std::int64_t tokens = batches_.tokens_before(line.step) - batches_.tokens_before(line.step - 1);
  seconds_ += seconds;
  tokens_ += tokens;
  const double rate = static_cast<double>(tokens) / seconds;
  const double causal = peak_flops_ > 0 ? rate * flops_per_token_causal_ / peak_flops_ : 0;
  const double palm = peak_flops_ > 0 ? rate * flops_per_token_palm_ / peak_flops_ : 0;
  std::vector<NamedValue> values{
      {"tokens_per_second", rate}, {"step_ms", seconds * 1e3}, {"mfu", causal}, {"mfu_palm", palm}};
  if (joules) values.emplace_back("joules_per_token", *joules / static_cast<double>(tokens));
  metrics_.note_ledger(line);
  metrics_.note(line.step, values);
  note_batch(line.step);
  note_sources(line);
  if (!memory_noted_ || line.step == config_.schedule.steps) note_memory(line.step);
  note_norms(line);
  if (line.skipped) complain(fmt::format("step {} skipped: {}", line.step, line.bad));
  show_step(line, peak_flops_ > 0 ? tokens_per_second() * flops_per_token_causal_ / peak_flops_ : 0);
  begin_measuring();
}

// Sequences of a step, where they are not always the same.
void Progress::note_batch(std::int64_t step) {
  if (!batches_.ramps()) return;
  const std::vector<NamedValue> values{
      {"batch_sequences", static_cast<double>(batches_.sequences(step - 1))}};
  metrics_.note(step, values);
}

// Of each source of a blend its tokens so far, and its loss in this step where it was in it.
void Progress::note_sources(const LedgerLine& line) {
  const std::span<const std::string> names = data_.train->source_names();
  std::vector<std::string> keys;
  for (const char* what : {"tokens/", "loss/"}) {
    for (const std::string& name : names) keys.push_back(what + name);
  }
  std::vector<std::pair<std::string_view, double>> values;
  for (std::size_t s = 0; s < names.size(); ++s) {
    const std::int64_t samples = data_.train->samples_of_source(s, batches_.first_sample(line.step));
    values.emplace_back(keys[s], static_cast<double>(samples * config_.batch.sequence));
  }
  const std::vector<Validation> losses = trainer_.loss_of_sources();
  for (std::size_t s = 0; s < names.size() && !line.skipped; ++s) {
    if (losses[s].loss_tokens > 0) values.emplace_back(keys[names.size() + s], losses[s].loss);
  }
  if (!values.empty()) metrics_.note(line.step, values);
}

void Progress::note_norms(const LedgerLine& line) {
  const std::optional<std::vector<LayerNorms>> norms = norms_.end(line);
  if (!norms) return;
  std::vector<std::pair<std::string, double>> named;
  for (const LayerNorms& layer : *norms) {
    named.emplace_back("parameter_norm/" + layer.layer, layer.parameter);
    named.emplace_back("gradient_norm/" + layer.layer, layer.gradient);
    named.emplace_back("update_norm/" + layer.layer, layer.update);
  }
  metrics_.note(line.step, std::vector<NamedValue>(named.begin(), named.end()));
}

void Progress::note_memory(std::int64_t step) {
  std::vector<std::pair<std::string, double>> named;
  for (const MemoryUse& use : memory_use(trainer_, norms_.meter())) {
    named.emplace_back("memory_bytes/" + use.name, static_cast<double>(use.used));
    named.emplace_back("memory_predicted_bytes/" + use.name, static_cast<double>(use.predicted));
  }
  metrics_.note(step, std::vector<NamedValue>(named.begin(), named.end()));
  memory_noted_ = true;
}

void Progress::show_step(const LedgerLine& line, double share_of_peak) {
  const Clock::time_point now = Clock::now();
  const double since = std::chrono::duration<double>(now - last_shown_).count();
  const bool last = line.step == config_.schedule.steps;
  if (style_.json) {
    const nlohmann::json object = {{"step", line.step},
                                   {"loss", line.loss},
                                   {"gradient_norm", line.gradient_norm},
                                   {"tokens_per_second", tokens_per_second()},
                                   {"share_of_peak", share_of_peak}};
    print(object.dump() + "\n");
    flush_output();
    return;
  }
  const bool due = style_.live ? since > 0.2 : since > kSecondsBetweenLines;
  if (!last && !due && line.step != 1) return;
  if (line.step % config_.log_interval != 0 && !last) return;
  last_shown_ = now;
  const std::int64_t tokens_left =
      batches_.tokens_before(config_.schedule.steps) - batches_.tokens_before(line.step);
  const double left = static_cast<double>(tokens_left) / std::max(tokens_per_second(), 1e-9);
  std::string text = step_line(line, config_.schedule.steps, tokens_per_second(), share_of_peak, left);
  if (batches_.ramps()) text += fmt::format("  batch {}", batches_.sequences(line.step - 1));
  if (style_.live && !last) {
    print("\r\x1b[K" + text);
    live_line_open_ = true;
    flush_output();
  } else {
    say(text);
  }
}

void Progress::validated(std::int64_t step, std::string_view set, const Validation& validation) {
  const std::string key = set.empty() ? "validation_loss" : fmt::format("validation_loss/{}", set);
  const std::pair<std::string_view, double> values[] = {{key, validation.loss}};
  metrics_.note(step, values);
  say(fmt::format("step {}  held-out loss {:.4f} nats/token over {} tokens{}{}", step, validation.loss,
                  validation.loss_tokens, set.empty() ? "" : " of ", set));
  begin_measuring();
}

void Progress::sample_due(std::int64_t step) {
  const TrainingSample sample = draw_sample(config_, trainer_, data_, step);
  write_file_atomically(run_.samples() / fmt::format("step-{:08}.json", step), to_json(sample, step));
  metrics_.note_sample(step, sample);
  if (step < config_.schedule.steps) say(fmt::format("sample: {} | {}", sample.prompt, sample.text));
  begin_measuring();
}

void Progress::checkpoint_written(std::int64_t step, const std::filesystem::path& folder) {
  if (step < config_.schedule.steps) say(fmt::format("checkpoint {}", folder.string()));
  begin_measuring();
}

bool Progress::stop_requested() {
  return interrupted();
}

}  // namespace megalith::app
