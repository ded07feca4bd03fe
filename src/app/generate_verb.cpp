// megalith generate MODEL: text from a trained model, streamed to the terminal.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "app/console.h"
#include "app/generate/options.h"
#include "app/generate/output.h"
#include "app/generation.h"
#include "app/interrupt.h"
#include "app/loaded_model.h"
#include "app/verbs.h"
#include "core/file.h"

namespace megalith::app {
namespace {

Expected<std::vector<std::int32_t>> wanted_prompt(const GenerateOptions& options, const LoadedModel& model) {
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

ExitCode generate(const GenerateOptions& options) {
  value_or_throw(check_generate_options(options));
  SamplingSettings sampling = options.sampling;
  sampling.logit_bias = value_or_throw(parse_logit_bias(options.logit_bias));
  const std::unique_ptr<LoadedModel> model = value_or_throw(load_model(options.model, options.threads));
  value_or_throw(check_logit_bias(sampling.logit_bias, model->config.model.vocabulary));
  GenerationRequest request{.prompt = value_or_throw(wanted_prompt(options, *model)),
                            .max_tokens = options.max_tokens,
                            .sampling = sampling,
                            .stop = options.stop,
                            .num_samples = std::max(options.num_samples, options.best_of),
                            .alternatives = options.alternatives,
                            .ignore_end_of_document = options.ignore_end};
  const std::int64_t capacity = static_cast<std::int64_t>(request.prompt.size()) + options.max_tokens + 1;
  Generator generator(*model->device, model->transformer, model->config.numerics, request.num_samples,
                      capacity);
  std::vector<float> prompt_scores;
  if (options.log_probabilities) prompt_scores = generator.score(request.prompt);

  watch_for_interrupts();
  const bool streams = !options.json && request.num_samples == 1 && !options.log_probabilities;
  if (streams) print(options.prompt);
  const Tokenizer* tokenizer = model->tokenizer ? &*model->tokenizer : nullptr;
  std::size_t shown = 0;  // bytes of sample 0 that were streamed
  std::vector<Continuation> samples =
      generate_samples(generator, tokenizer, request, [&](std::string_view piece) {
        if (streams) print(piece);
        if (streams) flush_output();
        shown += piece.size();
        return !interrupted() && !output_is_gone();
      });
  if (options.best_of > 0) samples = best_of(std::move(samples), options.num_samples);
  if (options.json) {
    print_json(*model, options, request.prompt, prompt_scores, samples);
  } else if (options.log_probabilities) {
    print_log_probabilities(*model, request.prompt, prompt_scores);
    for (const Continuation& sample : samples)
      print_log_probabilities(*model, sample.ids, sample.log_probabilities);
  } else if (streams) {
    print(samples[0].text.substr(shown) + "\n");
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
