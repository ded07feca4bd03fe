#include "app/generation.h"

#include <algorithm>

#include "infer/text_stream.h"

namespace megalith::app {
namespace {

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

// All sequences being written, side by side.
class Writer {
 public:
  Writer(Generator& generator, const Tokenizer* tokenizer, const GenerationRequest& request)
      : generator_(generator),
        tokenizer_(tokenizer),
        request_(request),
        sampler_(request.sampling, generator.vocabulary()),
        strands_(static_cast<std::size_t>(request.num_samples), Strand(request.stop)),
        next_(strands_.size()) {
    if (request.ignore_end_of_document) return;
    end_ids_ = request.end_ids;
    if (tokenizer == nullptr) return;
    if (const std::optional<std::int32_t> end = tokenizer->end_of_document()) end_ids_.push_back(*end);
  }

  // Draws the next token of each sequence that runs; returns what sequence 0 can show of it.
  std::string draw_tokens() {
    std::string first;
    for (std::size_t i = 0; i < strands_.size(); ++i) {
      std::string shown = strands_[i].running ? draw_token(i) : std::string();
      if (i == 0) first = std::move(shown);
    }
    return first;
  }

  [[nodiscard]] bool running() const {
    return std::any_of(strands_.begin(), strands_.end(), [](const Strand& s) { return s.running; });
  }

  // Ids to decode: those drawn, and 0 for a sequence that has ended.
  [[nodiscard]] const std::vector<std::int32_t>& next() const { return next_; }

  // Ends those that still run as `ending` says.
  std::vector<Continuation> finish(Finish ending) {
    std::vector<Continuation> samples;
    for (Strand& strand : strands_) {
      if (strand.running) strand.end(ending);
      strand.sample.number = static_cast<std::int64_t>(samples.size());
      samples.push_back(std::move(strand.sample));
    }
    return samples;
  }

 private:
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

  std::string draw_token(std::size_t i) {
    Strand& strand = strands_[i];
    const auto slot = static_cast<std::int64_t>(i);
    const std::int32_t id =
        sampler_.choose(generator_.logits(slot), static_cast<std::uint32_t>(i), generator_.length(),
                        {.prompt = request_.prompt, .answer = strand.sample.ids});
    next_[i] = 0;
    if (std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end()) {
      strand.sample.end_log_probability = generator_.log_probability(slot, id);
      strand.end(Finish::end_of_document);
      return {};
    }
    strand.sample.ids.push_back(id);
    strand.sample.log_probabilities.push_back(generator_.log_probability(slot, id));
    if (request_.alternatives > 0)
      strand.sample.alternatives.push_back(alternatives(generator_, slot, request_.alternatives));
    std::string shown = strand.stream.push(token_bytes(tokenizer_, id));
    strand.sample.text += shown;
    if (strand.stream.stopped()) {
      strand.end(Finish::stop_string);
    } else {
      next_[i] = id;
    }
    return shown;
  }

  Generator& generator_;
  const Tokenizer* tokenizer_;
  const GenerationRequest& request_;
  Sampler sampler_;
  std::vector<Strand> strands_;
  std::vector<std::int32_t> next_;
  std::vector<std::int32_t> end_ids_;
};

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
                                               std::int64_t context, std::span<const std::int32_t> before) {
  std::vector<std::int32_t> ids(before.begin(), before.end());
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
  Writer writer(generator, tokenizer, request);
  generator.prefill(request.prompt, request.num_samples);
  std::optional<Finish> ending;
  if (request.max_tokens == 0) ending = Finish::length;
  for (std::int64_t made = 1; !ending; ++made) {
    const std::string shown = writer.draw_tokens();
    if (piece && !piece(shown)) {
      ending = Finish::interrupted;
    } else if (!writer.running()) {
      break;
    } else if (generator.length() == generator.context()) {
      ending = Finish::context_full;
    } else if (made == request.max_tokens) {
      ending = Finish::length;
    } else {
      generator.decode(writer.next());
    }
  }
  return writer.finish(ending.value_or(Finish::length));
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
