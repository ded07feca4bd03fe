// megalith generate MODEL: text from a trained model, streamed to the terminal.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "app/console.h"
#include "app/generate/conversation.h"
#include "app/generate/options.h"
#include "app/generate/output.h"
#include "app/generation.h"
#include "app/interrupt.h"
#include "app/loaded_model.h"
#include "app/standard_input.h"
#include "app/verbs.h"
#include "core/file.h"
#include "data/infill_tokens.h"
#include "infer/text_stream.h"

namespace megalith::app {
namespace {

// The text that --prompt or --prompt-file gives.
Expected<std::string> prompt_text(const GenerateOptions& options) {
  constexpr std::size_t kLargestPrompt = std::size_t{64} << 20;
  if (options.prompt_file.empty()) return options.prompt;
  if (options.prompt_file == "-") return read_to_end(STDIN_FILENO, kLargestPrompt);
  return read_file(options.prompt_file, kLargestPrompt);
}

// --prompt-ids as they are, if the model takes them.
Expected<std::vector<std::int32_t>> typed_ids(const std::vector<std::int32_t>& ids,
                                              const ModelConfig& config) {
  Refusals problems;
  for (const std::int32_t id : ids) {
    if (id >= 0 && id < config.vocabulary) continue;
    problems.push_back({.where = "--prompt-ids",
                        .found = fmt::format("{}", id),
                        .allowed = fmt::format("0 to {}", config.vocabulary - 1),
                        .nearest = ""});
  }
  if (static_cast<std::int64_t>(ids.size()) > config.sequence) {
    problems.push_back({.where = "--prompt-ids",
                        .found = fmt::format("{} ids", ids.size()),
                        .allowed = fmt::format("at most the model's context of {}", config.sequence),
                        .nearest = ""});
  }
  if (!problems.empty()) return refuse(std::move(problems));
  return ids;
}

// What a model that learned to fill gaps is to continue with the text between `left` and `right`.
Expected<std::vector<std::int32_t>> gap_prompt(std::string_view left, std::string_view right,
                                               const std::string& name, const LoadedModel& model) {
  if (!model.tokenizer) {
    return refuse({.where = "--suffix",
                   .found = fmt::format("{}, a model without tokenizer", name),
                   .allowed = "a model that was trained with data.infill_rate",
                   .nearest = ""});
  }
  const Expected<InfillTokens> tokens =
      find_infill_tokens(*model.tokenizer, model.config.data.infill_tokens, "--suffix with " + name);
  if (!tokens) return tl::unexpected(tokens.error());
  std::vector<std::int32_t> ids = infill_prompt(*model.tokenizer, *tokens, left, right);
  ids.insert(ids.begin(), model.prompt_begin.begin(), model.prompt_begin.end());
  if (static_cast<std::int64_t>(ids.size()) >= model.config.model.sequence) {
    return refuse(
        {.where = "--prompt and --suffix",
         .found = fmt::format("{} tokens", ids.size()),
         .allowed = fmt::format("fewer than the model's context of {} tokens", model.config.model.sequence),
         .nearest = "less of what is far from the gap"});
  }
  return ids;
}

// Everything that turns what was typed into the ids to continue.
Expected<std::vector<std::int32_t>> wanted_prompt(const GenerateOptions& options, const LoadedModel& model) {
  if (!options.prompt_ids.empty()) return typed_ids(options.prompt_ids, model.config.model);
  const Expected<std::string> text = prompt_text(options);
  if (!text) return tl::unexpected(text.error());
  if (options.suffix) return gap_prompt(*text, *options.suffix, options.model, model);
  return prompt_ids(model.tokenizer ? &*model.tokenizer : nullptr, *text, model.config.model.sequence,
                    model.prompt_begin);
}

ExitCode generate(const GenerateOptions& options) {
  value_or_throw(check_generate_options(options));
  GenerationRequest request{.prompt = {},
                            .max_tokens = options.max_tokens,
                            .sampling = options.sampling,
                            .stop = options.stop,
                            .num_samples = std::max(options.num_samples, options.best_of),
                            .alternatives = options.alternatives,
                            .ignore_end_of_document = options.ignore_end};
  request.sampling.logit_bias = value_or_throw(parse_logit_bias(options.logit_bias));
  const WeightFormat weights = value_or_throw(parse_weight_format(options.weights));
  const std::unique_ptr<LoadedModel> model =
      value_or_throw(load_model(options.model, options.threads, weights));
  request.end_ids = model->end_ids;
  value_or_throw(check_logit_bias(request.sampling.logit_bias, model->config.model.vocabulary));
  if (options.interactive) return converse(*model, std::move(request), options.keep_context);

  request.prompt = value_or_throw(wanted_prompt(options, *model));
  const std::int64_t capacity = static_cast<std::int64_t>(request.prompt.size()) + options.max_tokens + 1;
  Generator generator(*model->device, model->transformer, model->config.numerics, request.num_samples,
                      capacity);
  std::vector<float> prompt_scores;
  if (options.log_probabilities) prompt_scores = generator.score(request.prompt);
  watch_for_interrupts();
  const Tokenizer* tokenizer = model->tokenizer ? &*model->tokenizer : nullptr;
  if (!options.json && !options.log_probabilities && request.num_samples == 1) {
    print(to_valid_utf8(options.prompt));
    print_as_it_comes(generator, tokenizer, request, to_valid_utf8(options.suffix.value_or("")));
    return interrupted() ? ExitCode::stopped : ExitCode::done;
  }
  std::vector<Continuation> samples = generate_samples(
      generator, tokenizer, request, [](std::string_view) { return !interrupted() && !output_is_gone(); });
  if (options.best_of > 0) samples = best_of(std::move(samples), options.num_samples);
  if (options.json) {
    print_json(*model, options, request.prompt, prompt_scores, samples);
  } else if (options.log_probabilities) {
    print_log_probabilities(*model, request.prompt, prompt_scores);
    for (const Continuation& sample : samples)
      print_log_probabilities(*model, sample.ids, sample.log_probabilities);
  } else {
    print_samples(options, samples);
  }
  return interrupted() ? ExitCode::stopped : ExitCode::done;
}

}  // namespace

void add_generate_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* verb = app.add_subcommand("generate", "Continue a text with a trained model");
  declare_generate_options(*verb, *options);
  verb->callback([options, &run] { run = [options] { return generate(*options); }; });
}

}  // namespace megalith::app
