#include "app/report/run_summary.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "app/next_steps.h"
#include "app/report/escape.h"
#include "app/report/numbers.h"
#include "core/file.h"
#include "train/train_config.h"

namespace megalith::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kMostDocumentBytes = 4u << 20;  // run.json, evaluation.json, config.toml, a sample
constexpr std::size_t kMostLineBytes = 1u << 20;
constexpr std::size_t kMostPoints = 4'000'000;  // per series; the ledger of a run ten times MT-NLG's
constexpr std::size_t kMostFacts = 200;
constexpr std::size_t kMostSamples = 24;  // shown: those of the latest steps
constexpr std::size_t kMostSampleFiles = 1000;
constexpr std::size_t kMostBaselines = 20;
constexpr std::size_t kMostFolderEntries = 10'000;
constexpr std::size_t kMostNotes = 20;

void note(RunSummary& run, std::string text) {
  if (run.notes.size() < kMostNotes) run.notes.push_back(std::move(text));
}

// A discarded value when the text is not JSON. Bytes that are not UTF-8 are kept visible as \xE9.
Json parse(std::string_view text) {
  return Json::parse(show_invalid_utf8(text, "\\\\"), nullptr, /*allow_exceptions=*/false);
}

std::optional<double> number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

std::string string_or(const Json& object, const char* key, std::string otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

// The object in a file; nothing when the file is absent, with a note when it is there and useless.
std::optional<Json> read_object(RunSummary& run, const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  const Expected<std::string> text = read_file(path, kMostDocumentBytes);
  if (!text) {
    note(run, to_string(text.error()));
    return std::nullopt;
  }
  Json object = parse(*text);
  if (!object.is_object()) {
    note(run, path.filename().string() + ": not a JSON object");
    return std::nullopt;
  }
  return object;
}

// Calls use(object) for every line that is a JSON object with a "step" of 0 or more.
template <class Use>
void for_each_line(RunSummary& run, const char* name, Use use) {
  std::error_code error;
  if (!fs::exists(run.folder / name, error)) return;
  const Expected<MappedFile> file = MappedFile::open(run.folder / name);
  if (!file) return note(run, to_string(file.error()));
  std::string_view rest = file->text();
  std::size_t bad = 0;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find_first_not_of(" \r\t") == std::string_view::npos) continue;
    const Json object = line.size() <= kMostLineBytes ? parse(line) : Json();
    const std::optional<double> step = object.is_object() ? number(object, "step") : std::nullopt;
    if (step && *step >= 0 && *step < 1e15) {
      use(object, *step);
    } else {
      ++bad;
    }
  }
  if (bad > 0) note(run, fmt::format("{}: {} lines without a readable step left out", name, bad));
}

void append(Points& points, double step, std::optional<double> value) {
  if (value && points.size() < kMostPoints) points.push_back({step, *value});
}

// A resumed run may have written a step twice; the later line stands.
void settle(Points& points) {
  std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.x < b.x; });
  std::size_t kept = 0;
  for (const Point& point : points) {
    if (kept > 0 && points[kept - 1].x == point.x) {
      points[kept - 1] = point;
    } else {
      points[kept++] = point;
    }
  }
  points.resize(kept);
}

void read_ledger(RunSummary& run) {
  for_each_line(run, "ledger.jsonl", [&](const Json& line, double step) {
    append(run.loss, step, number(line, "loss"));
    append(run.gradient_norm, step, number(line, "gradient_norm"));
    append(run.learning_rate, step, number(line, "learning_rate"));
    append(run.tokens, step, number(line, "tokens"));
    const auto skipped = line.find("skipped");
    if (skipped != line.end() && skipped->is_boolean() && skipped->get<bool>() &&
        run.skipped_steps.size() < 1000) {
      run.skipped_steps.push_back(step);
    }
  });
}

// "memory_bytes/NAME" and "memory_predicted_bytes/NAME".
void read_memory(RunSummary& run, const Json& line) {
  constexpr std::string_view kUsed = "memory_bytes/";
  for (const auto& [key, value] : line.items()) {
    if (!key.starts_with(kUsed)) continue;
    const std::string name = key.substr(kUsed.size());
    const std::optional<double> used = number(line, key.c_str());
    const std::optional<double> predicted = number(line, ("memory_predicted_bytes/" + name).c_str());
    if (!used || !predicted) continue;
    const auto same = [&](const MemoryFigure& figure) { return figure.name == name; };
    auto found = std::find_if(run.memory.begin(), run.memory.end(), same);
    if (found == run.memory.end() && run.memory.size() < kMostFacts)
      found = run.memory.insert(found, {name, 0, 0});
    if (found != run.memory.end()) *found = {name, *used, *predicted};
  }
}

void read_metrics(RunSummary& run) {
  for_each_line(run, "metrics.jsonl", [&](const Json& line, double step) {
    append(run.validation_loss, step, number(line, "validation_loss"));
    append(run.tokens_per_second, step, number(line, "tokens_per_second"));
    append(run.mfu, step, number(line, "mfu"));
    append(run.mfu_palm, step, number(line, "mfu_palm"));
    append(run.joules_per_token, step, number(line, "joules_per_token"));
    read_memory(run, line);
    append(run.step_ms, step, number(line, "step_ms"));
  });
}

std::string scalar_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_integer() || value.is_number_unsigned()) return value.dump();
  if (value.is_number()) return fmt::format("{:.6g}", value.get<double>());
  return "";
}

// Scalars of an object as facts, nested objects with a point between the names, to a depth nobody exceeds by
// hand.
void flatten(const Json& object, const std::string& prefix, int depth, std::vector<Fact>& facts) {
  for (const auto& [key, value] : object.items()) {
    if (facts.size() >= kMostFacts) return;
    if (value.is_object() && depth < 4) {
      flatten(value, prefix + key + ".", depth + 1, facts);
    } else if (std::string text = scalar_text(value); !text.empty()) {
      facts.push_back({prefix + key, std::move(text)});
    }
  }
}

void read_baselines(const Json& object, Evaluation& evaluation) {
  const auto list = object.find("baselines");
  if (list == object.end() || !list->is_array()) return;
  for (const Json& entry : *list) {
    if (!entry.is_object() || evaluation.baselines.size() >= kMostBaselines) continue;
    const std::optional<double> bits = number(entry, "bits_per_byte");
    if (!bits || *bits < 0) continue;
    evaluation.baselines.push_back(
        {string_or(entry, "name", "unnamed"), *bits, string_or(entry, "note", "")});
  }
}

void read_evaluation(RunSummary& run) {
  const std::optional<Json> object = read_object(run, run.folder / "evaluation.json");
  if (!object) return;
  const std::optional<double> bits = number(*object, "held_out_bits_per_byte");
  if (!bits || *bits < 0) return note(run, "evaluation.json: no held_out_bits_per_byte");
  Evaluation evaluation;
  evaluation.bits_per_byte = *bits;
  evaluation.held_out_bytes = number(*object, "held_out_bytes");
  evaluation.held_out_tokens = number(*object, "held_out_tokens");
  evaluation.loss_nats_per_token = number(*object, "loss_nats_per_token");
  read_baselines(*object, evaluation);
  if (const auto checks = object->find("sample_checks"); checks != object->end() && checks->is_object()) {
    flatten(*checks, "", 0, evaluation.sample_checks);
  }
  run.evaluation = std::move(evaluation);
}

// The .json files of samples/, in the order of their names.
std::vector<fs::path> sample_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  std::size_t seen = 0;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (++seen > kMostFolderEntries || files.size() >= kMostSampleFiles) break;
    if (entry->path().extension() == ".json") files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void add_sample(RunSummary& run, const Json& object) {
  if (!object.is_object()) return;
  const std::string text = string_or(object, "text", "");
  if (text.empty()) return;
  run.samples.push_back({number(object, "step").value_or(0), string_or(object, "prompt", ""), text});
}

void read_samples(RunSummary& run) {
  for (const fs::path& path : sample_files(run.folder / "samples")) {
    const Expected<std::string> text = read_file(path, kMostDocumentBytes);
    if (!text) {
      note(run, to_string(text.error()));
      continue;
    }
    const Json parsed = parse(*text);
    if (parsed.is_array()) {
      for (const Json& object : parsed) add_sample(run, object);
    } else if (parsed.is_object()) {
      add_sample(run, parsed);
    } else {
      note(run, "samples/" + path.filename().string() + ": not JSON");
    }
  }
  std::stable_sort(run.samples.begin(), run.samples.end(),
                   [](const Sample& a, const Sample& b) { return a.step < b.step; });
  if (run.samples.size() > kMostSamples)
    run.samples.erase(run.samples.begin(), run.samples.end() - kMostSamples);
}

void read_config(RunSummary& run) {
  std::error_code error;
  if (!fs::exists(run.folder / "config.toml", error)) return;
  Expected<std::string> text = read_file(run.folder / "config.toml", kMostDocumentBytes);
  if (!text) return note(run, to_string(text.error()));
  run.config = std::move(*text);
  LoadedConfig config;
  if (!parse_toml(run.config, "config.toml", config.registry)) return;  // shown all the same
  run.longer = twice_as_long(config.values.schedule.length);
  run.has_tokenizer = !config.values.data.tokenizer.empty();
}

bool looks_like_a_run(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {"ledger.jsonl", "metrics.jsonl", "config.toml", "run.json", "evaluation.json"}) {
    if (fs::exists(folder / name, error)) return true;
  }
  return false;
}

}  // namespace

Expected<RunSummary> read_run(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error) || !looks_like_a_run(folder)) {
    return refuse({.where = folder.string(),
                   .found = fs::is_directory(folder, error) ? "a folder without the files of a run"
                            : fs::exists(folder, error)     ? "not a folder"
                                                            : "nothing",
                   .allowed = "a run directory: what was given to megalith train --run-dir",
                   .nearest = "ls runs/"});
  }
  RunSummary run;
  run.folder = folder;
  const fs::path whole = fs::absolute(folder, error).lexically_normal();
  run.name = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  read_ledger(run);
  read_metrics(run);
  for (Points* points :
       {&run.loss, &run.gradient_norm, &run.learning_rate, &run.tokens, &run.validation_loss,
        &run.tokens_per_second, &run.mfu, &run.mfu_palm, &run.joules_per_token, &run.step_ms}) {
    settle(*points);
  }
  if (const std::optional<Json> object = read_object(run, folder / "run.json"))
    flatten(*object, "", 0, run.facts);
  read_config(run);
  read_evaluation(run);
  read_samples(run);
  return run;
}

std::string fact(const RunSummary& run, const std::string& name) {
  for (const std::string& full : {name, "machine." + name}) {
    for (const Fact& entry : run.facts) {
      if (entry.name == full) return entry.value;
    }
  }
  return "";
}

std::optional<double> number_fact(const RunSummary& run, const std::string& name) {
  const std::string text = fact(run, name);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace megalith::app
