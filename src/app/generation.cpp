#include "app/generation.h"

#include <algorithm>

#include "infer/text_stream.h"

namespace megalith::app {
namespace {

// One sequence being written.
struct Strand {
  explicit Strand(const std::vector<std::string>& stop) : stream(stop) {}
  TextStream stream;
  Continuation sample;
  bool running = true;

  void end(Finish finish) {
    running = false;
    sample.finish = finish;
    sample.text += stream.finish();
  }
};

std::string token_bytes(const Tokenizer* tokenizer, std::int32_t id) {
  if (tokenizer == nullptr) return fmt::format("{} ", id);
  if (id >= tokenizer->vocabulary_size()) return "";
  return std::string(tokenizer->bytes_of(id));
}

std::vector<Alternative> alternatives(Generator& generator, std::int64_t slot, std::int64_t count) {
  std::vector<Alternative> list;
  for (const std::int32_t id : most_likely(generator.logits(slot), count))
    list.push_back({.id = id, .log_probability = generator.log_probability(slot, id)});
  return list;
}

}  // namespace

const char* name_of(Finish finish) {
  switch (finish) {
    case Finish::end_of_document:
      return "end_of_document";
    case Finish::stop_string:
      return "stop_string";
    case Finish::length:
      return "length";
    case Finish::context_full:
      return "context_full";
    case Finish::interrupted:
      return "interrupted";
  }
  return "?";
}

Expected<std::vector<std::int32_t>> prompt_ids(const Tokenizer* tokenizer, std::string_view text,
                                               std::int64_t context) {
  std::vector<std::int32_t> ids;
  if (tokenizer == nullptr && !text.empty()) {
    return refuse({.where = "--prompt",
                   .found = "a text, for a model without tokenizer",
                   .allowed = "--prompt-ids",
                   .nearest = "--prompt-ids 1,2,3"});
  }
  if (tokenizer != nullptr) tokenizer->encode(text, ids);
  if (ids.empty()) ids.push_back(tokenizer == nullptr ? 0 : tokenizer->end_of_document().value_or(0));
  if (static_cast<std::int64_t>(ids.size()) >= context) {
    return refuse({.where = "--prompt",
                   .found = fmt::format("{} tokens", ids.size()),
                   .allowed = fmt::format("fewer than the model's context of {} tokens", context),
                   .nearest = fmt::format("its last {} tokens", context / 2)});
  }
  return ids;
}

std::vector<Continuation> generate_samples(Generator& generator, const Tokenizer* tokenizer,
                                           const GenerationRequest& request, const Piece& piece) {
  const auto count = static_cast<std::size_t>(request.num_samples);
  std::vector<Strand> strands(count, Strand(request.stop));
  const std::int32_t end_id =
      tokenizer == nullptr || request.ignore_end_of_document ? -1 : tokenizer->end_of_document().value_or(-1);
  Sampler sampler(request.sampling, generator.vocabulary());
  generator.prefill(request.prompt, request.num_samples);
  std::vector<std::int32_t> next(count);
  bool interrupted = false;
  for (std::int64_t made = 0;; ++made) {
    for (std::size_t i = 0; i < count; ++i) {
      Strand& strand = strands[i];
      next[i] = 0;
      if (!strand.running) continue;
      if (interrupted || made == request.max_tokens) {
        strand.end(interrupted ? Finish::interrupted : Finish::length);
        continue;
      }
      const auto slot = static_cast<std::int64_t>(i);
      const std::int32_t id =
          sampler.choose(generator.logits(slot), static_cast<std::uint32_t>(i), generator.length(),
                         {.prompt = request.prompt, .answer = strand.sample.ids});
      if (id == end_id) {
        strand.sample.end_log_probability = generator.log_probability(slot, id);
        strand.end(Finish::end_of_document);
        continue;
      }
      next[i] = id;
      strand.sample.ids.push_back(id);
      strand.sample.log_probabilities.push_back(generator.log_probability(slot, id));
      if (request.alternatives > 0)
        strand.sample.alternatives.push_back(alternatives(generator, slot, request.alternatives));
      const std::string shown = strand.stream.push(token_bytes(tokenizer, id));
      strand.sample.text += shown;
      if (i == 0 && piece && !shown.empty() && !piece(shown)) interrupted = true;
      if (strand.stream.stopped()) strand.end(Finish::stop_string);
    }
    if (std::none_of(strands.begin(), strands.end(), [](const Strand& s) { return s.running; })) break;
    if (generator.length() == generator.context()) {
      for (Strand& strand : strands) {
        if (strand.running) strand.end(Finish::context_full);
      }
      break;
    }
    generator.decode(next);
  }
  std::vector<Continuation> samples;
  for (Strand& strand : strands) {
    strand.sample.number = static_cast<std::int64_t>(samples.size());
    samples.push_back(std::move(strand.sample));
  }
  return samples;
}

double mean_log_probability(const Continuation& sample) {
  double sum = sample.end_log_probability.value_or(0);
  for (const float value : sample.log_probabilities) sum += value;
  const std::size_t count = sample.log_probabilities.size() + (sample.end_log_probability ? 1 : 0);
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

std::vector<Continuation> best_of(std::vector<Continuation> samples, std::int64_t count) {
  const auto better = [](const Continuation& a, const Continuation& b) {
    const double x = mean_log_probability(a);
    const double y = mean_log_probability(b);
    return x > y || (x == x && y != y);  // a mean that is no number comes last
  };
  std::stable_sort(samples.begin(), samples.end(), better);
  if (static_cast<std::int64_t>(samples.size()) > count) samples.resize(static_cast<std::size_t>(count));
  return samples;
}

}  // namespace megalith::app
