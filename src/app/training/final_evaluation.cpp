#include "app/training/final_evaluation.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/report/numbers.h"
#include "core/file.h"

namespace megalith::app {
namespace {

constexpr std::int64_t kSamples = 8;
constexpr std::int64_t kMostTrainingTokens = std::int64_t{1} << 25;  // that baselines and checks look at
constexpr std::size_t kSamplesShown = 3;                             // in a terminal; the report has all

// A window of one document, right for a micro batch's sequence: tokens [begin, begin + count], of which the
// targets from `scored` on are new.
struct Window {
  std::int64_t begin = 0;
  std::int64_t count = 0;   // inputs
  std::int64_t scored = 0;  // first input whose target counts
};

std::vector<Window> windows_of(std::int64_t document_begin, std::int64_t document_tokens,
                               std::int64_t sequence) {
  std::vector<Window> windows;
  const std::int64_t inputs = document_tokens - 1;  // the last token has no target
  std::int64_t covered = 0;
  while (covered < inputs) {
    const std::int64_t begin = covered == 0 ? 0 : std::max<std::int64_t>(covered - sequence / 2, 0);
    const std::int64_t count = std::min(sequence, inputs - begin);
    windows.push_back({.begin = document_begin + begin, .count = count, .scored = covered - begin});
    covered = begin + count;
  }
  return windows;
}

// Runs windows through the trainer, a micro batch at a time.
class WindowScorer {
 public:
  WindowScorer(const TrainConfig& config, Trainer& trainer, const TokenSet& tokens)
      : trainer_(trainer),
        tokens_(tokens),
        sequences_(trainer.sequences_at_once()),
        sequence_(config.batch.sequence),
        ids_(static_cast<std::size_t>(sequences_ * sequence_)),
        targets_(ids_.size()),
        starts_(ids_.size()),
        positions_(ids_.size()),
        mask_(ids_.size(), 0),
        samples_(static_cast<std::size_t>(sequences_), 0),
        line_(static_cast<std::size_t>(sequence_ + 1)) {
    for (std::size_t t = 0; t < positions_.size(); ++t) {
      positions_[t] = static_cast<std::int32_t>(t % static_cast<std::size_t>(sequence_));
    }
  }

  // Sum of log-probabilities (natural) of all scored targets.
  double total(const std::vector<Window>& windows) {
    double sum = 0;
    for (std::size_t first = 0; first < windows.size(); first += static_cast<std::size_t>(sequences_)) {
      const std::size_t count = std::min(static_cast<std::size_t>(sequences_), windows.size() - first);
      sum += score(std::span(windows).subspan(first, count));
    }
    return sum;
  }

 private:
  double score(std::span<const Window> windows) {
    for (std::size_t w = 0; w < windows.size(); ++w) {
      const Window& window = windows[w];
      tokens_.read(window.begin, window.count + 1, line_.data());
      const std::size_t at = w * static_cast<std::size_t>(sequence_);
      for (std::size_t i = 0; i < static_cast<std::size_t>(sequence_); ++i) {
        const bool inside = i < static_cast<std::size_t>(window.count);
        ids_[at + i] = inside ? line_[i] : 0;
        targets_[at + i] = inside ? line_[i + 1] : 0;
      }
    }
    const MicroBatch batch{.sequences = sequences_,
                           .sequence = sequence_,
                           .ids = ids_.data(),
                           .targets = targets_.data(),
                           .loss_mask = mask_.data(),
                           .document_start = starts_.data(),
                           .positions = positions_.data(),
                           .samples = samples_.data()};
    const std::vector<float>& log_probability = trainer_.evaluate(batch);
    double sum = 0;
    for (std::size_t w = 0; w < windows.size(); ++w) {
      const std::size_t at = w * static_cast<std::size_t>(sequence_);
      for (std::int64_t i = windows[w].scored; i < windows[w].count; ++i) {
        sum += static_cast<double>(log_probability[at + static_cast<std::size_t>(i)]);
      }
    }
    return sum;
  }

  Trainer& trainer_;
  const TokenSet& tokens_;
  std::int64_t sequences_;
  std::int64_t sequence_;
  std::vector<std::int32_t> ids_, targets_, starts_, positions_;
  std::vector<std::uint8_t> mask_;
  std::vector<std::int64_t> samples_;
  std::vector<std::int32_t> line_;
};

// The last tokens of each file, `most` in all: token files may be larger than the memory.
std::vector<std::int32_t> last_ids(const std::vector<std::shared_ptr<const TokenSet>>& files,
                                   std::int64_t most) {
  std::vector<std::int32_t> ids;
  for (const auto& tokens : files) {
    const std::int64_t count = std::min(tokens->num_tokens(), most / static_cast<std::int64_t>(files.size()));
    const std::size_t before = ids.size();
    ids.resize(before + static_cast<std::size_t>(count));
    tokens->read(tokens->num_tokens() - count, count, ids.data() + before);
  }
  return ids;
}

// The text the ids stand for, without end-of-document tokens.
std::string text_of(const Tokenizer& tokenizer, std::span<const std::int32_t> ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id != tokenizer.end_of_document()) text += tokenizer.bytes_of(id);
  }
  return text;
}

// Samples are of documents all over the held-out text: one alone may be nothing but a list of names.
std::int64_t distance_of_samples(const DataSources& data) {
  return std::max<std::int64_t>(data.held_out_tokens->num_documents() / kSamples, 1);
}

void write_evaluation(const FinalEvaluation& evaluation, const RunDirectory& run) {
  nlohmann::json baselines = nlohmann::json::array();
  for (const Baseline& baseline : evaluation.baselines) {
    baselines.push_back(
        {{"name", baseline.name}, {"bits_per_byte", baseline.bits_per_byte}, {"note", baseline.note}});
  }
  const SampleChecks& checks = evaluation.checks;
  const nlohmann::json object = {{"held_out_bits_per_byte", evaluation.figure.bits_per_byte},
                                 {"held_out_bytes", evaluation.figure.bytes},
                                 {"held_out_tokens", evaluation.figure.tokens},
                                 {"loss_nats_per_token", evaluation.figure.loss_nats_per_token},
                                 {"baselines", baselines},
                                 {"sample_checks",
                                  {{"words of four or more letters", checks.words},
                                   {"share of them in the training text", checks.known_share},
                                   {"most repeats of eight words in a row", checks.most_repeats},
                                   {"longest copy from the training text, bytes", checks.longest_copy},
                                   {"that copy", checks.copied_text}}}};
  write_file_atomically(run.folder() / "evaluation.json",
                        object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace

HeldOutFigure evaluate_held_out(const TrainConfig& config, Trainer& trainer, const TokenSet& tokens,
                                const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens.num_tokens()));
  tokens.read(0, tokens.num_tokens(), ids.data());
  std::vector<Window> windows;
  HeldOutFigure figure;
  for (std::int64_t d = 0; d < tokens.num_documents(); ++d) {
    const TokenRange range = tokens.document(d);
    std::int64_t count = range.count;
    const auto last = static_cast<std::size_t>(range.begin + count - 1);
    if (count > 0 && ids[last] == tokenizer.end_of_document()) --count;
    if (count == 0) continue;
    figure.tokens += count;
    for (const Window& window : windows_of(range.begin, count, config.batch.sequence))
      windows.push_back(window);
    figure.loss_nats_per_token +=
        std::log(static_cast<double>(config.model.vocabulary));  // of the first token
  }
  figure.bytes = static_cast<std::int64_t>(text_of(tokenizer, ids).size());
  const double nats = figure.loss_nats_per_token - WindowScorer(config, trainer, tokens).total(windows);
  figure.loss_nats_per_token = nats / static_cast<double>(std::max<std::int64_t>(figure.tokens, 1));
  figure.bits_per_byte = nats / std::log(2.0) / static_cast<double>(std::max<std::int64_t>(figure.bytes, 1));
  return figure;
}

void follow_final_evaluation(const TrainConfig& config, Trainer& trainer, const DataSources& data) {
  evaluate_held_out(config, trainer, *data.held_out_tokens, *data.tokenizer);
  for (std::int64_t number = 0; number < kSamples; ++number) {
    draw_sample(config, trainer, data, number * distance_of_samples(data));
  }
}

FinalEvaluation evaluate_finally(const TrainConfig& config, Trainer& trainer, const DataSources& data,
                                 const RunDirectory& run) {
  const Tokenizer& tokenizer = *data.tokenizer;
  FinalEvaluation result;
  result.figure = evaluate_held_out(config, trainer, *data.held_out_tokens, tokenizer);

  const std::vector<std::int32_t> training_ids = last_ids(data.train_tokens, kMostTrainingTokens);
  const std::vector<std::int32_t> held_out_ids =
      last_ids({data.held_out_tokens}, data.held_out_tokens->num_tokens());
  std::vector<std::uint64_t> counts(static_cast<std::size_t>(config.model.vocabulary), 0);
  for (const std::int32_t id : training_ids) ++counts[static_cast<std::size_t>(id)];
  const std::string training = text_of(tokenizer, training_ids);
  result.baselines = compute_baselines(training, text_of(tokenizer, held_out_ids), counts, held_out_ids);

  const std::int64_t distance = distance_of_samples(data);
  std::vector<std::string> continuations;
  for (std::int64_t number = 0; number < kSamples; ++number) {
    result.samples.push_back(draw_sample(config, trainer, data, number * distance));
    const TrainingSample& sample = result.samples.back();
    write_file_atomically(run.samples() / fmt::format("final-{}.json", number),
                          to_json(sample, config.schedule.steps));
    continuations.push_back(sample.text);
  }
  result.checks = check_samples(continuations, training);
  write_evaluation(result, run);
  return result;
}

std::string describe(const FinalEvaluation& evaluation) {
  const HeldOutFigure& figure = evaluation.figure;
  std::string text;
  const std::size_t shown = std::min(evaluation.samples.size(), kSamplesShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const TrainingSample& sample = evaluation.samples[i];
    text += fmt::format("--- sample {}: the model continues after the bar\n{}|{}\n", i + 1, sample.prompt,
                        sample.text);
  }
  const SampleChecks& checks = evaluation.checks;
  text += fmt::format(
      "--- of {} samples' {} longer words {:.0f}% occur in the training text; longest copy {} bytes\n",
      evaluation.samples.size(), checks.words, 100 * checks.known_share, checks.longest_copy);
  text +=
      fmt::format("\nheld-out text: {} bytes, {} tokens, never trained on\n", figure.bytes, figure.tokens);
  text += fmt::format("  {:<44} {:>6.3f} bits per byte\n", "this model", figure.bits_per_byte);
  for (const Baseline& baseline : evaluation.baselines) {
    const char* verdict = figure.bits_per_byte < baseline.bits_per_byte ? "beaten" : "not beaten";
    text += fmt::format("  {:<44} {:>6.3f}  {}\n", baseline.name, baseline.bits_per_byte, verdict);
  }
  return text;
}

}  // namespace megalith::app
