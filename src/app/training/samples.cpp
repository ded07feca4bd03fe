#include "app/training/samples.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "infer/text_stream.h"

namespace megalith::app {
namespace {

constexpr std::int64_t kPromptTokens = 24;

std::vector<std::int32_t> start_of_document(const TokenSet& tokens, std::int64_t number,
                                            std::int64_t context) {
  const TokenRange range = tokens.document(number % tokens.num_documents());
  const std::int64_t count = std::min({kPromptTokens, range.count, context / 2});
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  tokens.read(range.begin, count, ids.data());
  return ids;
}

std::string text_of(const Tokenizer* tokenizer, const std::vector<std::int32_t>& ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    if (tokenizer == nullptr) {
      text += fmt::format("{} ", id);
    } else if (id < tokenizer->vocabulary_size()) {
      text += tokenizer->bytes_of(id);
    }
  }
  return to_valid_utf8(text);
}

}  // namespace

TrainingSample draw_sample(const TrainConfig& config, Trainer& trainer, const DataSources& data,
                           std::int64_t number) {
  const Tokenizer* tokenizer = data.tokenizer ? &*data.tokenizer : nullptr;
  Generator generator(trainer.device(), trainer.cached_model(), config.numerics, 1);
  GenerationRequest request{.max_tokens = config.sample.tokens,
                            .sampling = {.temperature = config.sample.temperature,
                                         .top_k = static_cast<int>(config.sample.top_k),
                                         .top_p = config.sample.top_p,
                                         .seed = config.seed + static_cast<std::uint64_t>(number)}};
  TrainingSample sample;
  const TokenSet* held_out = data.held_out_tokens.get();
  if (config.sample.prompt.empty() && held_out != nullptr && held_out->num_documents() > 0) {
    request.prompt = start_of_document(*held_out, number, generator.context());
    sample.prompt = text_of(tokenizer, request.prompt);
  } else {
    sample.prompt = tokenizer == nullptr ? "" : config.sample.prompt;
    request.prompt = value_or_throw(prompt_ids(tokenizer, sample.prompt, generator.context()));
  }
  if (request.prompt.empty()) request.prompt.push_back(0);
  sample.text = std::move(generate_samples(generator, tokenizer, request).front().text);
  return sample;
}

std::string to_json(const TrainingSample& sample, std::int64_t step) {
  const nlohmann::json object = {{"step", step}, {"prompt", sample.prompt}, {"text", sample.text}};
  return object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace megalith::app
