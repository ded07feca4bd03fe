// megalith generate MODEL: text from a trained model, streamed to the terminal.

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/console.h"
#include "app/generation.h"
#include "app/interrupt.h"
#include "app/loaded_model.h"
#include "app/verbs.h"
#include "core/file.h"
#include "infer/text_stream.h"

namespace megalith::app {
namespace {

struct Options {
  std::string model;
  std::string prompt;
  std::string prompt_file;
  std::vector<std::int32_t> prompt_ids;
  std::int64_t max_tokens = 128;
  double temperature = 0.8;
  int top_k = 0;
  double top_p = 0.95;
  std::uint64_t seed = 0;
  std::int64_t num_samples = 1;
  std::vector<std::string> stop;
  std::int64_t threads = 0;
  bool ignore_end = false;
  bool log_probabilities = false;
  bool json = false;
};

Expected<std::vector<std::int32_t>> wanted_prompt(const Options& options, const LoadedModel& model) {
  const Tokenizer* tokenizer = model.tokenizer ? &*model.tokenizer : nullptr;
  const std::int64_t context = model.config.model.sequence;
  if (options.prompt_ids.empty()) {
    std::string text = options.prompt;
    if (!options.prompt_file.empty()) {
      constexpr std::size_t kLargestPrompt = std::size_t{64} << 20;
      Expected<std::string> read = read_file(options.prompt_file, kLargestPrompt);
      if (!read) return tl::unexpected(read.error());
      text = std::move(*read);
    }
    return prompt_ids(tokenizer, text, context);
  }
  Refusals problems;
  for (const std::int32_t id : options.prompt_ids) {
    if (id >= 0 && id < model.config.model.vocabulary) continue;
    problems.push_back({.where = "--prompt-ids",
                        .found = fmt::format("{}", id),
                        .allowed = fmt::format("0 to {}", model.config.model.vocabulary - 1),
                        .nearest = ""});
  }
  if (static_cast<std::int64_t>(options.prompt_ids.size()) > context) {
    problems.push_back({.where = "--prompt-ids",
                        .found = fmt::format("{} ids", options.prompt_ids.size()),
                        .allowed = fmt::format("at most the model's context of {}", context),
                        .nearest = ""});
  }
  if (!problems.empty()) return refuse(std::move(problems));
  return options.prompt_ids;
}

std::string text_of(const LoadedModel& model, std::int32_t id) {
  if (!model.tokenizer || id >= model.tokenizer->vocabulary_size()) return std::to_string(id);
  return to_valid_utf8(model.tokenizer->bytes_of(id));
}

nlohmann::json log_probability_list(const LoadedModel& model, std::span<const std::int32_t> ids,
                                    std::span<const float> values) {
  nlohmann::json list = nlohmann::json::array();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    nlohmann::json value = nullptr;  // nothing predicts the first token of a prompt
    if (i + values.size() >= ids.size()) value = values[i + values.size() - ids.size()];
    list.push_back({{"id", ids[i]}, {"token", text_of(model, ids[i])}, {"log_probability", value}});
  }
  return list;
}

void print_json(const LoadedModel& model, const Options& options, const std::vector<std::int32_t>& prompt,
                std::span<const float> prompt_scores, const std::vector<Continuation>& samples) {
  nlohmann::json out = {{"model", options.model}, {"step", model.step}, {"prompt_ids", prompt}};
  if (options.log_probabilities) out["prompt_tokens"] = log_probability_list(model, prompt, prompt_scores);
  out["samples"] = nlohmann::json::array();
  for (const Continuation& sample : samples) {
    nlohmann::json one = {{"text", sample.text}, {"ids", sample.ids}, {"finish", name_of(sample.finish)}};
    one["log_probabilities"] = sample.log_probabilities;
    out["samples"].push_back(std::move(one));
  }
  print(out.dump(2) + "\n");
}

void print_log_probabilities(const LoadedModel& model, std::span<const std::int32_t> ids,
                             std::span<const float> values) {
  for (const nlohmann::json& entry : log_probability_list(model, ids, values)) {
    const std::string value = entry["log_probability"].is_null()
                                  ? "-"
                                  : fmt::format("{:.6f}", entry["log_probability"].get<float>());
    print(fmt::format("{:>8}  {:>12}  {}\n", entry["id"].get<int>(), value, entry["token"].dump()));
  }
}

ExitCode generate(const Options& options) {
  const std::unique_ptr<LoadedModel> model = value_or_throw(load_model(options.model, options.threads));
  GenerationRequest request{.prompt = value_or_throw(wanted_prompt(options, *model)),
                            .max_tokens = options.max_tokens,
                            .sampling = {.temperature = options.temperature,
                                         .top_k = options.top_k,
                                         .top_p = options.top_p,
                                         .seed = options.seed},
                            .stop = options.stop,
                            .num_samples = options.num_samples,
                            .ignore_end_of_document = options.ignore_end};
  const std::int64_t capacity = static_cast<std::int64_t>(request.prompt.size()) + options.max_tokens + 1;
  Generator generator(*model->device, model->transformer, model->config.numerics, options.num_samples,
                      capacity);
  std::vector<float> prompt_scores;
  if (options.log_probabilities) prompt_scores = generator.score(request.prompt);

  watch_for_interrupts();
  const bool streams = !options.json && options.num_samples == 1 && !options.log_probabilities;
  if (streams) print(options.prompt);
  const Tokenizer* tokenizer = model->tokenizer ? &*model->tokenizer : nullptr;
  std::size_t shown = 0;  // bytes of sample 0 that were streamed
  const std::vector<Continuation> samples =
      generate_samples(generator, tokenizer, request, [&](std::string_view piece) {
        if (streams) print(piece);
        shown += piece.size();
        return !interrupted() && !output_is_gone();
      });
  if (options.json) {
    print_json(*model, options, request.prompt, prompt_scores, samples);
  } else if (options.log_probabilities) {
    print_log_probabilities(*model, request.prompt, prompt_scores);
    for (const Continuation& sample : samples)
      print_log_probabilities(*model, sample.ids, sample.log_probabilities);
  } else if (streams) {
    print(samples[0].text.substr(shown) + "\n");
  } else {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      print(fmt::format("--- sample {} ({})\n{}{}\n", i, name_of(samples[i].finish), options.prompt,
                        samples[i].text));
    }
  }
  return interrupted() ? ExitCode::stopped : ExitCode::done;
}

constexpr const char* kExamples = R"(Examples:
  megalith generate runs/mine --prompt "Once upon"            streams until the end of the document
  megalith generate runs/mine --prompt "Once" --n 5 --temperature 0.8 --top-p 0.9 --seed 7
  megalith generate runs/mine@1000 --prompt "Q:" --stop $'\nQ:' --max-tokens 100
  megalith generate runs/mine --prompt-file book.txt --max-tokens 0 --logprobs   what it thinks of a text
)";

}  // namespace

void add_generate_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("generate", "Continue a text with a trained model");
  verb->footer(kExamples);
  verb->add_option("MODEL", options->model, "Run directory, RUN@STEP, RUN@best or checkpoint folder")
      ->required();
  auto* prompt = verb->add_option("--prompt", options->prompt, "Text to continue");
  auto* file = verb->add_option("--prompt-file", options->prompt_file, "The text in a file");
  auto* ids = verb->add_option("--prompt-ids", options->prompt_ids, "Token ids to continue")->delimiter(',');
  prompt->excludes(ids)->excludes(file);
  file->excludes(ids);
  verb->add_option("--max-tokens", options->max_tokens, "Longest continuation")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  verb->add_option("--temperature", options->temperature, "0 takes the most likely token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  verb->add_option("--top-k", options->top_k, "Keep the k most likely; 0 keeps all")
      ->check(CLI::Range(0, 1 << 24));
  verb->add_option("--top-p", options->top_p, "Keep the most likely with this much probability")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--seed", options->seed, "The same seed gives the same text");
  verb->add_option("--n", options->num_samples, "How many continuations")->check(CLI::Range(1, 1024));
  verb->add_option("--stop", options->stop, "End where this text would appear; may be repeated");
  verb->add_option("--threads", options->threads, "0 takes every usable processor")
      ->check(CLI::Range(0, 1024));
  verb->add_flag("--ignore-end", options->ignore_end, "Go on past the end-of-document token");
  verb->add_flag("--logprobs", options->log_probabilities, "Print every token with its log-probability");
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options, &run] { run = [options] { return generate(*options); }; });
}

}  // namespace megalith::app
