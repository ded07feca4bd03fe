// Text from a model: the common ground of `generate` and of the samples a training run writes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "infer/generator.h"
#include "infer/sampler.h"

namespace megalith::app {

enum class Finish : std::uint8_t { end_of_document, stop_string, length, context_full, interrupted };
const char* name_of(Finish finish);  // "end_of_document", ...

struct GenerationRequest {
  std::vector<std::int32_t> prompt;  // at least one id
  std::int64_t max_tokens = 128;
  SamplingSettings sampling;
  std::vector<std::string> stop;
  std::int64_t num_samples = 1;
  std::int64_t alternatives = 0;      // how many to name at each position
  std::vector<std::int32_t> end_ids;  // end a text as the tokenizer's end-of-document token does
  bool ignore_end_of_document = false;
};

// A token that might have been chosen.
struct Alternative {
  std::int32_t id = 0;
  float log_probability = 0;
};

// All log-probabilities are the model's own, before penalties, bias, temperature and filters.
struct Continuation {
  std::int64_t number = 0;  // which draw it is: the stream of its random numbers
  std::string text;         // valid UTF-8, without the prompt
  std::vector<std::int32_t> ids;
  std::vector<float> log_probabilities;                // of ids
  std::optional<float> end_log_probability;            // of the end-of-document token, where that ended it
  std::vector<std::vector<Alternative>> alternatives;  // for each of ids the most likely, in that order
  Finish finish = Finish::length;
};

// Mean over ids, and over the end-of-document token where that ended the text: so an empty text has one too.
// 0 where nothing was drawn.
double mean_log_probability(const Continuation& sample);

// The `count` samples of the highest mean log-probability, best first; of equals the one drawn first.
std::vector<Continuation> best_of(std::vector<Continuation> samples, std::int64_t count);

// Called after each token with what of sample 0 can be shown now, perhaps nothing; false stops the
// generation.
using Piece = std::function<bool(std::string_view piece)>;

// All samples side by side. Without a tokenizer the text is the ids, separated by spaces.
std::vector<Continuation> generate_samples(Generator& generator, const Tokenizer* tokenizer,
                                           const GenerationRequest& request, const Piece& piece = {});

// Ids of a prompt: `before` and the text's. The end-of-document id (0 without one) where that is nothing,
// which starts a document. Refused: a prompt that leaves no room in the model's context.
Expected<std::vector<std::int32_t>> prompt_ids(const Tokenizer* tokenizer, std::string_view text,
                                               std::int64_t context,
                                               std::span<const std::int32_t> before = {});

}  // namespace megalith::app
