#include "app/report/html_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/next_steps.h"
#include "app/report/escape.h"
#include "app/report/numbers.h"
#include "app/report/page_style.h"
#include "app/report/svg_chart.h"

namespace megalith::app {
namespace {

constexpr std::size_t kMostSampleBytes = 6000;  // shown of one sample; the file has the rest
constexpr std::size_t kMostConfigBytes = 64 * 1024;

double last(const Points& points) {
  return points.empty() ? NAN : points.back().y;
}

double median(const Points& points) {
  if (points.empty()) return NAN;
  std::vector<double> values;
  values.reserve(points.size());
  for (const Point& point : points) values.push_back(point.y);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

std::string tile(const std::string& name, const std::string& value, const std::string& more,
                 bool first = false) {
  if (value == "n/a") return "";
  return fmt::format("<dl class=\"tile{}\"><dt>{}</dt><dd>{}</dd>{}</dl>\n", first ? " first" : "",
                     escape_html(name), escape_html(value),
                     more.empty() ? "" : "<dd>" + escape_html(more) + "</dd>");
}

std::size_t beaten(const Evaluation& evaluation) {
  return static_cast<std::size_t>(std::count_if(
      evaluation.baselines.begin(), evaluation.baselines.end(),
      [&](const BaselineFigure& baseline) { return evaluation.bits_per_byte < baseline.bits_per_byte; }));
}

// Wall time spent in steps, from the measured rate and the tokens of the ledger.
double training_seconds(const RunSummary& run) {
  const double rate = median(run.tokens_per_second);
  const double tokens = last(run.tokens);
  return rate > 0 ? tokens / rate : NAN;
}

std::string header(const RunSummary& run) {
  std::string about;
  const auto add = [&](const std::string& part) {
    if (!part.empty()) about += (about.empty() ? "" : " · ") + part;
  };
  if (const auto parameters = number_fact(run, "parameters")) add(compact(*parameters) + " parameters");
  for (const char* name : {"model", "processor", "device"}) add(fact(run, name));
  if (const std::string version = fact(run, "program_version"); !version.empty()) add("Megalith " + version);
  return fmt::format(
      "<header><p class=\"over\">Megalith · training report</p><h1>{}</h1><p "
      "class=\"lead\">{}</p></header>\n",
      escape_html(run.name), escape_html(about));
}

// A validation before the first step is that of the weights the run began with.
std::string validation_text(const Points& validation) {
  if (validation.empty()) return "nats per token";
  const std::string text = "validation " + fixed(last(validation), 3) + " nats per token";
  if (validation.front().x > 0) return text;
  return text + "; " + fixed(validation.front().y, 3) + " of the weights it began with";
}

std::string tiles(const RunSummary& run) {
  std::string html = "<section class=\"tiles\">\n";
  if (run.evaluation) {
    const Evaluation& evaluation = *run.evaluation;
    html += tile("Held-out bits per byte", fixed(evaluation.bits_per_byte, 3),
                 evaluation.baselines.empty() ? ""
                                              : fmt::format("beats {} of {} baselines", beaten(evaluation),
                                                            evaluation.baselines.size()),
                 true);
  }
  const double steps = run.loss.empty() ? NAN : run.loss.back().x;
  html += tile("Loss, last step", fixed(last(run.loss), 3), validation_text(run.validation_loss));
  html += tile("Steps", compact(steps), run.tokens.empty() ? "" : compact(last(run.tokens)) + " tokens");
  html +=
      tile("Tokens per second", compact(median(run.tokens_per_second)),
           std::isfinite(training_seconds(run)) ? duration_text(training_seconds(run)) + " of training" : "");
  const double share = median(run.mfu);
  html += tile("Share of measured peak", std::isfinite(share) ? fixed(100 * share, 1) + "%" : "n/a",
               run.mfu_palm.empty() ? "MFU, median step"
                                    : fmt::format("MFU, median step; {}% by PaLM's count",
                                                  fixed(100 * median(run.mfu_palm), 1)));
  html +=
      tile("Joules per token", compact(median(run.joules_per_token)), "of the whole machine, median step");
  if (!run.skipped_steps.empty()) {
    html += tile("Steps skipped", fmt::format("{}", run.skipped_steps.size()),
                 "not finite; parameters untouched");
  }
  return html + "</section>\n";
}

std::string loss_section(const RunSummary& run) {
  Chart chart{.title = "Training and validation loss over steps",
              .y_label = "loss, nats per token",
              .width = 1040,
              .height = 380,
              .lines = {{.label = "training", .style = "a", .points = run.loss, .smooth = true},
                        {.label = "validation", .style = "b", .points = run.validation_loss, .dots = true}}};
  const std::string wide = line_chart(chart);
  if (wide.empty()) return "";
  chart.width = 440;
  chart.height = 320;
  return fmt::format(
      "<section><h2>Loss</h2><div class=\"card\"><div class=\"wide\">{}</div><div "
      "class=\"narrow\">{}</div></div></section>\n",
      wide, line_chart(chart));
}

std::string baseline_table(const Evaluation& evaluation, const std::vector<BaselineFigure>& figures) {
  std::string html =
      "<table><thead><tr><th>Coder</th><th class=\"number\">bits per "
      "byte</th><th></th></tr></thead><tbody>\n";
  for (const BaselineFigure& figure : figures) {
    const bool ours = figure.name.empty();
    const bool won = evaluation.bits_per_byte < figure.bits_per_byte;
    const std::string verdict = ours ? ""
                                     : fmt::format("<span class=\"{}\">{}</span>", won ? "won" : "lost",
                                                   won ? "beats it" : "loses to it");
    const std::string note =
        figure.note.empty() ? "" : "<br><span class=\"soft small\">" + escape_html(figure.note) + "</span>";
    html += fmt::format("<tr{}><td>{}{}</td><td class=\"number\">{}</td><td class=\"verdict\">{}</td></tr>\n",
                        ours ? " class=\"ours\"" : "", ours ? "this model" : escape_html(figure.name), note,
                        fixed(figure.bits_per_byte, 3), verdict);
  }
  return html + "</tbody></table>\n";
}

std::string baseline_section(const RunSummary& run) {
  if (!run.evaluation) return "";
  const Evaluation& evaluation = *run.evaluation;
  std::vector<BaselineFigure> figures = evaluation.baselines;
  figures.push_back({"", evaluation.bits_per_byte, ""});  // the empty name stands for this model
  std::stable_sort(figures.begin(), figures.end(), [](const BaselineFigure& a, const BaselineFigure& b) {
    return a.bits_per_byte < b.bits_per_byte;
  });
  std::vector<Bar> bars;
  for (const BaselineFigure& figure : figures) {
    bars.push_back({figure.name.empty() ? "this model" : figure.name.substr(0, 60), figure.bits_per_byte,
                    figure.name.empty()});
  }
  std::string held_out = "How many bits a byte of text costs that the model never saw. Lower is better.";
  if (evaluation.held_out_bytes && evaluation.held_out_tokens) {
    held_out += fmt::format(" Measured on {} bytes, {} tokens.", compact(*evaluation.held_out_bytes),
                            compact(*evaluation.held_out_tokens));
  }
  return fmt::format(
      "<section><h2>Held-out text against baselines</h2><p class=\"soft\">{}</p><div class=\"grid\">"
      "<div class=\"card\">{}</div><div class=\"card\">{}</div></div></section>\n",
      escape_html(held_out), bar_chart("Held-out bits per byte", bars), baseline_table(evaluation, figures));
}

std::string small_chart(const std::string& title, const std::string& unit, const Points& points, bool smooth,
                        bool may_be_logarithmic) {
  const std::string svg =
      line_chart({.title = title,
                  .y_label = unit,
                  .may_be_logarithmic = may_be_logarithmic,
                  .lines = {{.label = "", .style = "a", .points = points, .smooth = smooth}}});
  return svg.empty() ? "" : "<div class=\"card\"><h3>" + escape_html(title) + "</h3>" + svg + "</div>\n";
}

std::string course_section(const RunSummary& run) {
  Points percent = run.mfu;
  for (Point& point : percent) point.y *= 100;
  const std::string charts =
      small_chart("Speed", "tokens per second", run.tokens_per_second, true, false) +
      small_chart("Gradient norm, before clipping", "L2 norm", run.gradient_norm, true, true) +
      small_chart("Learning rate", "", run.learning_rate, false, false) +
      small_chart("Share of the measured peak (MFU)", "percent", percent, true, false);
  if (charts.empty()) return "";
  return "<section><h2>Speed and stability</h2><div class=\"grid\">\n" + charts + "</div></section>\n";
}

// machine.memory_gib -> machine: memory gib
std::string readable(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  for (std::size_t at = name.find('.'); at != std::string::npos; at = name.find('.', at + 2))
    name.replace(at, 1, ": ");
  return name;
}

std::string facts_table(const std::vector<Fact>& facts) {
  std::string html = "<table><tbody>\n";
  for (const Fact& entry : facts) {
    html += fmt::format("<tr><td class=\"name\">{}</td><td class=\"value\">{}</td></tr>\n",
                        escape_html(readable(entry.name)), escape_html(entry.value));
  }
  return html + "</tbody></table>\n";
}

std::string sample_card(const Sample& sample) {
  std::string text = sample.text.substr(0, kMostSampleBytes);
  // The text usually begins with its prompt; either way it is shown once, marked.
  std::string_view rest = text;
  if (rest.starts_with(sample.prompt)) rest.remove_prefix(sample.prompt.size());
  const std::string cut = sample.text.size() > kMostSampleBytes ? " …" : "";
  return fmt::format(
      "<div class=\"card sample\"><p class=\"at\">step {}</p><p class=\"text\"><b>{}</b>{}{}</p></div>\n",
      compact(sample.step), escape_html(sample.prompt.substr(0, kMostSampleBytes)), escape_html(rest), cut);
}

std::string sample_section(const RunSummary& run) {
  if (run.samples.empty()) return "";
  std::string html =
      "<section><h2>Samples</h2><p class=\"soft\">Written by the model after the prompt in colour.</p>\n";
  const double newest = run.samples.back().step;
  std::string earlier;
  for (const Sample& sample : run.samples) {
    (sample.step == newest ? html : earlier) += sample_card(sample);
  }
  if (!earlier.empty())
    html += "<details><summary>Earlier in training</summary>\n" + earlier + "</details>\n";
  if (run.evaluation && !run.evaluation->sample_checks.empty()) {
    html += "<div class=\"card\">" + facts_table(run.evaluation->sample_checks) + "</div>\n";
  }
  return html + "</section>\n";
}

std::string mfu_text(const RunSummary& run) {
  std::string text = fact(run, "mfu_formula");
  if (text.empty()) text = "MFU = model FLOPs per token x tokens per second / measured peak FLOP/s";
  const auto flops = number_fact(run, "flops_per_token");
  const auto peak = number_fact(run, "peak_gflops");
  const double rate = median(run.tokens_per_second);
  if (flops && peak && *peak > 0 && std::isfinite(rate)) {
    text += fmt::format("\n    = {} FLOP x {} tokens/s / {} GFLOP/s = {}%", compact(*flops), compact(rate),
                        compact(*peak), fixed(100 * *flops * rate / (*peak * 1e9), 1));
  }
  if (const std::string palm = fact(run, "mfu_palm_formula"); !palm.empty()) {
    text += fmt::format("\nBy PaLM's count {}%: {}", fixed(100 * median(run.mfu_palm), 1), palm);
  }
  return text;
}

std::string memory_card(const RunSummary& run) {
  if (run.memory.empty()) return "";
  const auto mib = [](double bytes) { return fixed(bytes / (1 << 20), 1); };
  std::string html =
      "<p class=\"soft\" style=\"margin-top:14px\">Memory, as predicted before the first step and as "
      "used:</p>"
      "<div class=\"card\"><table><thead><tr><th>MiB</th><th class=\"number\">predicted</th>"
      "<th class=\"number\">used</th></tr></thead><tbody>\n";
  for (const MemoryFigure& figure : run.memory) {
    html += fmt::format("<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
                        escape_html(figure.name), mib(figure.predicted), mib(figure.used));
  }
  return html + "</tbody></table></div>\n";
}

std::string machine_section(const RunSummary& run) {
  std::string html = "<section><h2>Machine, model and speed</h2>\n";
  if (!run.facts.empty()) html += "<div class=\"card\">" + facts_table(run.facts) + "</div>\n";
  if (!run.mfu.empty()) {
    html +=
        "<p class=\"soft\" style=\"margin-top:14px\">How the share of the peak is counted:</p><div "
        "class=\"card\"><p class=\"text\">" +
        escape_html(mfu_text(run)) + "</p></div>\n";
  }
  html += memory_card(run);
  return run.facts.empty() && run.mfu.empty() && run.memory.empty() ? "" : html + "</section>\n";
}

std::string config_section(const RunSummary& run) {
  if (run.config.empty()) return "";
  return fmt::format(
      "<section><h2>Config</h2><details class=\"card\" open><summary>config.toml, frozen at the first "
      "step</summary><pre>{}</pre>"
      "</details></section>\n",
      escape_html(std::string_view(run.config).substr(0, kMostConfigBytes)));
}

std::string next_section(const RunSummary& run) {
  std::string html = "<section><h2>Next</h2><div class=\"card next\">\n";
  for (const NextStep& step : next_steps(run.folder, run.longer, run.has_tokenizer)) {
    html +=
        fmt::format("<div><p>{}</p><pre>{}</pre></div>\n", escape_html(step.what), escape_html(step.command));
  }
  return html + "</div></section>\n";
}

std::string footer(const RunSummary& run) {
  std::string html =
      "<footer>Made by megalith report from the files of the run directory. Nothing on this page is loaded "
      "from elsewhere.";
  if (!run.notes.empty()) {
    html += "<p>Left out:</p><ul>\n";
    for (const std::string& note : run.notes) html += "<li>" + escape_html(note.substr(0, 400)) + "</li>\n";
    html += "</ul>";
  }
  return html + "</footer>\n";
}

}  // namespace

std::string html_page(const RunSummary& run) {
  return fmt::format(
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<title>{} · Megalith report</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
             escape_html(run.name), page_style()) +
         header(run) + tiles(run) + loss_section(run) + baseline_section(run) + sample_section(run) +
         course_section(run) + machine_section(run) + config_section(run) + next_section(run) + footer(run) +
         "</main>\n</body>\n</html>\n";
}

}  // namespace megalith::app
