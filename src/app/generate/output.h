// What `megalith generate` prints.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "app/generate/options.h"
#include "app/generation.h"
#include "app/loaded_model.h"

namespace megalith::app {

// Generates one sample and prints it piece by piece, then `after` and a newline. Ctrl-C ends it.
Continuation print_as_it_comes(Generator& generator, const Tokenizer* tokenizer,
                               const GenerationRequest& request, std::string_view after = {});

// `prompt_scores`: log-probabilities of the prompt after its first token; empty unless they were asked for.
void print_json(const LoadedModel& model, const GenerateOptions& options,
                std::span<const std::int32_t> prompt, std::span<const float> prompt_scores,
                const std::vector<Continuation>& samples);

// A table of tokens, one a line. `values` belong to the last ids; what has none shows "-".
void print_log_probabilities(const LoadedModel& model, std::span<const std::int32_t> ids,
                             std::span<const float> values);

// The texts after their prompt, with a heading each where several were asked for.
void print_samples(const GenerateOptions& options, const std::vector<Continuation>& samples);

}  // namespace megalith::app
