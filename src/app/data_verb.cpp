// megalith data build|inspect|show|verify.

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/configs_folder.h"
#include "app/console.h"
#include "app/interrupt.h"
#include "app/loaded_model.h"
#include "app/training/data_sources.h"
#include "app/verbs.h"
#include "core/thread_pool.h"
#include "data/build.h"
#include "data/input_paths.h"
#include "data/verify.h"
#include "infer/text_stream.h"
#include "run/run_directory.h"
#include "train/batch_schedule.h"
#include "train/batch_share.h"
#include "train/layout_rules.h"

namespace megalith::app {
namespace {

struct Options {
  std::vector<std::string> inputs;
  std::filesystem::path tokenizer;
  std::string prefix;
  BuildOptions build{.num_workers = 0};
  std::vector<std::string> overrides;
  std::int64_t step = -1;
  std::int64_t document = -1;
  std::int64_t ranks = 0;  // of the job; 0: as many as parallel.data says
  bool json = false;
};

void print_books(const BuildReport& report) {
  print(fmt::format("{} bytes read from {} file{}\n", report.bytes_read, report.files,
                    report.files == 1 ? "" : "s"));
  const auto row = [](const char* name, std::int64_t bytes, const std::string& what) {
    print(fmt::format("  {:<11} {:>12} bytes{}\n", name, bytes, what));
  };
  const bool lines = report.lines_read > 0;
  const auto of_lines = [&](std::int64_t count) { return lines ? fmt::format("  {:>10} lines", count) : ""; };
  row("kept", report.kept_bytes,
      of_lines(report.lines_kept) +
          (report.pairs > 0 ? fmt::format(", {} of them pairs", report.pairs) : ""));
  row("empty", report.empty_bytes, of_lines(report.lines_empty));
  row("quarantined", report.quarantined_bytes,
      of_lines(report.lines_quarantined) +
          (report.quarantined_runs > 0
               ? fmt::format("  {} runs of bytes in plain text", report.quarantined_runs)
               : ""));
  if (report.mark_bytes > 0) row("dropped", report.mark_bytes, " of byte order marks");
}

void print_sources(const BuildReport& report) {
  constexpr std::size_t kMostShown = 40;
  if (report.sources.size() < 2) return;
  print("sources\n");
  for (std::size_t i = 0; i < std::min(kMostShown, report.sources.size()); ++i) {
    const BuildSource& source = report.sources[i];
    print(fmt::format("  {:<24} {:>12} tokens  {:>9} documents\n", source.name, source.tokens,
                      source.documents));
  }
  if (report.sources.size() > kMostShown)
    print(fmt::format("  ... and {} more\n", report.sources.size() - kMostShown));
}

ExitCode build(const Options& options) {
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(options.tokenizer));
  const InputPaths inputs = value_or_throw(expand_inputs(options.inputs));
  if (inputs.skipped > 0) {
    complain(fmt::format("{} file{} in folders left out, such as {}", inputs.skipped,
                         inputs.skipped == 1 ? "" : "s", inputs.first_skipped));
  }
  const std::filesystem::path folder = options.build.output_prefix.parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder);
  BuildOptions build = options.build;
  if (build.num_workers == 0) build.num_workers = usable_processors();
  watch_for_interrupts();
  build.stop_requested = interrupted;
  const BuildReport report = value_or_throw(build_token_files(inputs.files, tokenizer, build));
  if (report.stopped) {
    complain("stopped; nothing was written, the same command begins anew");
    return ExitCode::stopped;
  }
  print_books(report);
  const auto part = [](const char* name, const BuildPart& p) {
    print(fmt::format("  {:<11} {:>12} bytes  {:>10} tokens  {:>7} documents\n", name, p.bytes, p.tokens,
                      p.documents));
  };
  part("training", report.training);
  part("held out", report.held_out);
  if (build.shard_tokens > 0) print(fmt::format("  training in {} shards\n", report.shards));
  print_sources(report);
  if (report.quarantined_bytes > 0) {
    print(fmt::format("what was left out, and why: {}.quarantine.jsonl\n", build.output_prefix.string()));
  }
  return ExitCode::done;
}

ExitCode inspect(const Options& options) {
  const TokenFileFacts facts = value_or_throw(inspect_token_files(options.prefix));
  const nlohmann::ordered_json object = {
      {"files", facts.files},
      {"tokens", facts.tokens},
      {"documents", facts.documents},
      {"sequences", facts.sequences},
      {"type", facts.type},
      {"largest_id", facts.largest_id},
      {"vocabulary", facts.vocabulary ? nlohmann::ordered_json(*facts.vocabulary) : nlohmann::ordered_json()},
      {"shortest_document", facts.shortest_document},
      {"median_document", facts.median_document},
      {"longest_document", facts.longest_document}};
  if (options.json) {
    print(object.dump(2) + "\n");
    return ExitCode::done;
  }
  for (const auto& [name, value] : object.items()) {
    print(fmt::format("{:<18} {}\n", name,
                      value.is_null()     ? "unknown"
                      : value.is_string() ? value.get<std::string>()
                                          : value.dump()));
  }
  return ExitCode::done;
}

ExitCode verify(const Options& options) {
  value_or_throw(verify_token_files(options.prefix));
  print(fmt::format("{}: every offset, id and digest is right\n", options.prefix));
  return ExitCode::done;
}

// A run directory's frozen config, or a config file.
TrainConfig config_of(const Options& options) {
  std::filesystem::path file = options.prefix;
  if (RunDirectory::is_run(file)) file = file / "config.toml";
  return value_or_throw(load_train_config(file, options.overrides, configs_folder(file)));
}

std::string text_or_ids(const std::optional<Tokenizer>& tokenizer, std::span<const std::int32_t> ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    if (tokenizer && id < tokenizer->vocabulary_size()) {
      text += tokenizer->bytes_of(id);
    } else {
      text += fmt::format("{} ", id);
    }
  }
  return to_valid_utf8(text);
}

// Of a job of so many ranks; 0: the config says it, or one.
int data_ranks_of(const TrainConfig& config, std::int64_t ranks) {
  if (ranks > 0) return value_or_throw(layout_of(config, ranks)).data;
  return static_cast<int>(std::max<std::int64_t>(config.parallel.data, 1));
}

void show_step(const TrainConfig& config, const DataSources& data, std::int64_t step, int data_ranks) {
  const auto sequence = static_cast<std::size_t>(config.batch.sequence);
  std::vector<std::int32_t> ids(sequence), targets(sequence), starts(sequence);
  std::vector<std::uint8_t> mask(sequence);
  const BatchSchedule batches(config.batch);
  for (std::int64_t i = 0; i < batches.sequences(step - 1); ++i) {
    const std::int64_t sample = batches.first_sample(step - 1) + i;
    data.train->fill(sample, ids.data(), targets.data(), mask.data(), starts.data());
    const int reader = reader_of(i, batches.sequences(step - 1), sequences_per_unit(config), data_ranks);
    print(fmt::format("--- step {} sequence {}: sample {}: {}{}\n{}\n", step, i, sample,
                      data.train->describe_sample(sample),
                      data_ranks > 1 ? fmt::format(", read by data rank {}", reader) : "",
                      text_or_ids(data.tokenizer, ids)));
    if (data.tokenizer) print(fmt::format("--- ids\n{}\n", fmt::join(ids, " ")));
  }
}

void show_document(const TrainConfig& config, const DataSources& data, std::int64_t document) {
  if (data.train_tokens.size() != 1) {
    throw RefusedInput(
        {{.where = "--doc",
          .found = config.data.blend.empty() ? "a config with data.source = \"" + config.data.source + "\""
                                             : "a blend",
          .allowed = "token files of one source",
          .nearest = "--step"}});
  }
  const TokenSet& tokens = *data.train_tokens.front();
  if (document >= tokens.num_documents()) {
    throw RefusedInput({{.where = "--doc",
                         .found = std::to_string(document),
                         .allowed = fmt::format("0 to {}", tokens.num_documents() - 1),
                         .nearest = ""}});
  }
  const TokenRange range = tokens.document(document);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(range.count));
  tokens.read(range.begin, range.count, ids.data());
  const std::string source = tokens.source(document);
  print(fmt::format("--- document {}: tokens {}..{}{}\n", document, range.begin, range.begin + range.count,
                    source.empty() ? "" : ", from " + source));
  const auto num_prompt = std::min(static_cast<std::size_t>(tokens.prompt_tokens(document)), ids.size());
  const std::span<const std::int32_t> all(ids);
  if (num_prompt > 0) {
    print(
        fmt::format("--- prompt\n{}\n--- completion\n", text_or_ids(data.tokenizer, all.first(num_prompt))));
  }
  print(text_or_ids(data.tokenizer, all.subspan(num_prompt)) + "\n");
  if (data.tokenizer) print(fmt::format("--- ids\n{}\n", fmt::join(ids, " ")));
}

ExitCode show(const Options& options) {
  const TrainConfig config = config_of(options);
  const DataSources data = value_or_throw(open_data(config));
  if (options.document >= 0) {
    show_document(config, data, options.document);
  } else {
    show_step(config, data, std::max<std::int64_t>(options.step, 1), data_ranks_of(config, options.ranks));
  }
  return ExitCode::done;
}

constexpr const char* kExamples = R"(Examples:
  megalith data build book.txt --tokenizer tokenizer.json --output data/book --held-out-every 20
  megalith data build 'pile/*.jsonl.zst' --tokenizer tokenizer.json --output data/pile --workers 0
  megalith data build notes/ --tokenizer tokenizer.json --output data/notes
  megalith data inspect data/book
  megalith data verify data/book
  megalith data show runs/mine --step 12     what the model reads in step 12
  megalith data show runs/mine --step 12 --ranks 8     and which data rank of eight ranks reads what
)";

}  // namespace

void add_data_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("data", "Make token files from text, and look into them");
  verb->footer(kExamples);
  verb->require_subcommand(1);
  const auto act = [&run, options](CLI::App* sub, ExitCode (*action)(const Options&)) {
    sub->callback([options, action, &run] { run = [options, action] { return action(*options); }; });
  };

  CLI::App* build_verb = verb->add_subcommand("build", "Token files (.bin, .idx, as Megatron's) from text");
  build_verb
      ->add_option(
          "FILES", options->inputs,
          "Plain text, or .jsonl with {\"text\"} or {\"prompt\", \"completion\"}, each also as .gz or "
          ".zst; folders of these; patterns")
      ->required();
  build_verb->add_option("--tokenizer", options->tokenizer, "tokenizer.json, or a folder with GPT-2's files")
      ->required();
  build_verb->add_option("--output", options->build.output_prefix, "PREFIX of the files to write")
      ->required();
  build_verb
      ->add_option(
          "--held-out-every", options->build.held_out_every,
          "Every so many blocks, or lines of JSON, one is held out as PREFIX-held_out; 0 holds out nothing")
      ->capture_default_str();
  build_verb
      ->add_option("--shard-tokens", options->build.shard_tokens,
                   "Begin new files, PREFIX-train-00001-of-NNNNN and so on, after so many tokens, where a "
                   "document ends; PREFIX-train names them all. 0: one pair of files")
      ->capture_default_str();
  build_verb->add_option("--block-bytes", options->build.block_bytes, "Size of a block of plain text")
      ->capture_default_str();
  build_verb
      ->add_option("--workers", options->build.num_workers,
                   "Threads; 0 takes every usable processor; never changes what is written")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  build_verb->add_option("--text-key", options->build.rules.text_key, "Key of the text in lines of JSON")
      ->capture_default_str();
  build_verb->add_flag("--keep-invalid-bytes", options->build.rules.keep_invalid_bytes,
                       "Keep bytes of plain text that are not UTF-8, instead of quarantining them");
  act(build_verb, build);

  CLI::App* inspect_verb = verb->add_subcommand("inspect", "What a pair of token files holds");
  inspect_verb->add_option("PREFIX", options->prefix, "Path without .bin and .idx")->required();
  inspect_verb->add_flag("--json", options->json, "Print one JSON object");
  act(inspect_verb, inspect);

  CLI::App* verify_verb = verb->add_subcommand("verify", "Check every offset, id and digest");
  verify_verb->add_option("PREFIX", options->prefix, "Path without .bin and .idx")->required();
  act(verify_verb, verify);

  CLI::App* show_verb = verb->add_subcommand("show", "The text a training step sees, or one document");
  show_verb->add_option("RUN_OR_CONFIG", options->prefix, "A run directory or a config file")->required();
  auto* step =
      show_verb->add_option("--step", options->step, "Step, from 1")->check(CLI::Range(1ll, 1ll << 40));
  show_verb->add_option("--doc", options->document, "Document of the training data, from 0")
      ->check(CLI::Range(0ll, 1ll << 40))
      ->excludes(step);
  show_verb
      ->add_option("--ranks", options->ranks,
                   "Ranks of the job: each sample's data rank is told (default: parallel.data of them)")
      ->check(CLI::Range(1, 1 << 20));
  show_verb->add_option("--set", options->overrides, "A value over the config's; may be repeated")
      ->type_name("KEY=VALUE");
  act(show_verb, show);
}

}  // namespace megalith::app
