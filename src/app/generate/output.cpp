#include "app/generate/output.h"

#include <nlohmann/json.hpp>

#include "app/console.h"
#include "app/interrupt.h"
#include "infer/text_stream.h"

namespace megalith::app {
namespace {

std::string text_of(const LoadedModel& model, std::int32_t id) {
  if (!model.tokenizer || id >= model.tokenizer->vocabulary_size()) return std::to_string(id);
  return to_valid_utf8(model.tokenizer->bytes_of(id));
}

nlohmann::json token_entry(const LoadedModel& model, std::int32_t id, const nlohmann::json& log_probability) {
  return {{"id", id}, {"token", text_of(model, id)}, {"log_probability", log_probability}};
}

nlohmann::json token_list(const LoadedModel& model, std::span<const std::int32_t> ids,
                          std::span<const float> values) {
  nlohmann::json list = nlohmann::json::array();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    nlohmann::json value = nullptr;  // nothing predicts the first token of a prompt
    if (i + values.size() >= ids.size()) value = values[i + values.size() - ids.size()];
    list.push_back(token_entry(model, ids[i], value));
  }
  return list;
}

nlohmann::json sample_entry(const LoadedModel& model, const Continuation& sample) {
  nlohmann::json entry = {{"sample", sample.number},
                          {"text", sample.text},
                          {"ids", sample.ids},
                          {"finish", name_of(sample.finish)},
                          {"log_probabilities", sample.log_probabilities},
                          {"mean_log_probability", mean_log_probability(sample)},
                          {"tokens", token_list(model, sample.ids, sample.log_probabilities)}};
  if (sample.end_log_probability) entry["end_log_probability"] = *sample.end_log_probability;
  for (std::size_t i = 0; i < sample.alternatives.size(); ++i) {
    nlohmann::json list = nlohmann::json::array();
    for (const Alternative& other : sample.alternatives[i])
      list.push_back(token_entry(model, other.id, other.log_probability));
    entry["tokens"][i]["alternatives"] = std::move(list);
  }
  return entry;
}

}  // namespace

Continuation print_as_it_comes(Generator& generator, const Tokenizer* tokenizer,
                               const GenerationRequest& request, std::string_view after) {
  std::size_t shown = 0;
  std::vector<Continuation> samples =
      generate_samples(generator, tokenizer, request, [&](std::string_view piece) {
        print(piece);
        flush_output();
        shown += piece.size();
        return !interrupted() && !output_is_gone();
      });
  print(fmt::format("{}{}\n", samples[0].text.substr(shown), after));
  return std::move(samples[0]);
}

void print_json(const LoadedModel& model, const GenerateOptions& options,
                std::span<const std::int32_t> prompt, std::span<const float> prompt_scores,
                const std::vector<Continuation>& samples) {
  nlohmann::json out = {{"model", options.model},
                        {"step", model.step},
                        {"prompt_ids", std::vector<std::int32_t>(prompt.begin(), prompt.end())}};
  if (options.log_probabilities) out["prompt_tokens"] = token_list(model, prompt, prompt_scores);
  out["samples"] = nlohmann::json::array();
  for (const Continuation& sample : samples) out["samples"].push_back(sample_entry(model, sample));
  print(out.dump(2) + "\n");
}

void print_log_probabilities(const LoadedModel& model, std::span<const std::int32_t> ids,
                             std::span<const float> values) {
  for (const nlohmann::json& entry : token_list(model, ids, values)) {
    const std::string value = entry["log_probability"].is_null()
                                  ? "-"
                                  : fmt::format("{:.6f}", entry["log_probability"].get<float>());
    print(fmt::format("{:>8}  {:>12}  {}\n", entry["id"].get<int>(), value, entry["token"].dump()));
  }
}

void print_samples(const GenerateOptions& options, const std::vector<Continuation>& samples) {
  for (const Continuation& sample : samples) {
    if (options.num_samples > 1) {
      print(fmt::format("--- sample {} ({}, {:.4f} a token)\n", sample.number, name_of(sample.finish),
                        mean_log_probability(sample)));
    }
    print(to_valid_utf8(options.prompt) + sample.text + to_valid_utf8(options.suffix.value_or("")) + "\n");
  }
}

}  // namespace megalith::app
