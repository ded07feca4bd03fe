#include "app/training/data_sources.h"

#include <algorithm>
#include <utility>

#include "data/blend.h"
#include "data/infill_dataset.h"
#include "train/blend_entry.h"

namespace megalith::app {
namespace {

// Without reading all tokens: by what their .meta.json says, or because that would take long. An id that does
// not fit after all is refused when it is met.
bool known_to_fit(const TokenFile& tokens, std::int64_t vocabulary) {
  constexpr std::int64_t kMostScanned = std::int64_t{1} << 28;
  return tokens.meta() ? tokens.meta()->vocabulary <= vocabulary : tokens.num_tokens() > kMostScanned;
}

TokenDatasetOptions options_of(const TrainConfig& config, std::optional<std::uint64_t> shuffle_seed) {
  return {.sequence = config.batch.sequence,
          .shuffle_seed = shuffle_seed,
          .document_masks = config.data.document_masks,
          .loss_on = config.data.loss_on,
          .packing = config.data.packing,
          .vocabulary = config.model.vocabulary};
}

std::shared_ptr<const TokenFile> open_tokens(const char* key, const std::string& prefix,
                                             const TrainConfig& config, Refusals& problems) {
  Expected<std::shared_ptr<const TokenFile>> file = TokenFile::open(prefix);
  if (!file) {
    for (Refusal& refusal : file.error()) problems.push_back(std::move(refusal));
    return nullptr;
  }
  if (config.data.loss_on == LossOn::completion && !(*file)->facts().has_prompts()) {
    problems.push_back({.where = fmt::format("{} = \"{}\"", key, prefix),
                        .found = "documents without prompts, where data.loss_on = \"completion\"",
                        .allowed = "token files built from lines of {\"prompt\", \"completion\"}",
                        .nearest = "data.loss_on = \"all\""});
    return nullptr;
  }
  if (!known_to_fit(**file, config.model.vocabulary) && (*file)->largest_id() >= config.model.vocabulary) {
    problems.push_back({.where = fmt::format("{} = \"{}\"", key, prefix),
                        .found = fmt::format("token id {}", (*file)->largest_id()),
                        .allowed = fmt::format("ids below model.vocabulary = {}", config.model.vocabulary),
                        .nearest = fmt::format("model.vocabulary = {}", (*file)->largest_id() + 1)});
    return nullptr;
  }
  return std::move(*file);
}

// Weights as integers: shares of 2^30, or the samples of so many epochs.
std::uint64_t blend_weight(const BlendEntry& entry, double sum, const Dataset& dataset) {
  const double weight = entry.epochs ? entry.amount * static_cast<double>(dataset.samples_per_epoch())
                                     : entry.amount / sum * 0x1p30;
  return static_cast<std::uint64_t>(std::max(weight + 0.5, 1.0));
}

void open_blend(const TrainConfig& config, DataSources& data, Refusals& problems) {
  std::vector<BlendEntry> entries;
  double sum = 0;
  for (const std::string& text : config.data.blend) {
    entries.push_back(value_or_throw(parse_blend_entry(text)));
    sum += entries.back().amount;
  }
  std::vector<BlendSource> sources;
  for (const BlendEntry& entry : entries) {
    const auto tokens = open_tokens("data.blend", entry.prefix, config, problems);
    if (!tokens) continue;
    data.train_tokens.push_back(tokens);
    // Each source has an order of its own, also where the same files are given twice.
    const std::uint64_t seed = config.seed + sources.size();
    std::unique_ptr<Dataset> dataset = make_token_dataset(tokens, options_of(config, seed));
    const std::uint64_t weight = blend_weight(entry, sum, *dataset);
    sources.push_back({.name = entry.name(), .dataset = std::move(dataset), .weight = weight});
  }
  if (!problems.empty()) return;
  for (const BlendSource& source : sources) {
    data.epoch_samples += entries.front().epochs ? static_cast<std::int64_t>(source.weight)
                                                 : source.dataset->samples_per_epoch();
  }
  data.train = make_blend(std::move(sources));
}

void open_more_held_out(const TrainConfig& config, DataSources& data, Refusals& problems) {
  if (data.held_out) data.held_out_sets.push_back({.name = "", .dataset = data.held_out.get()});
  for (const std::string& prefix : config.data.more_held_out) {
    const auto tokens = open_tokens("data.more_held_out", prefix, config, problems);
    if (!tokens) continue;
    data.more_held_out.push_back(make_token_dataset(tokens, options_of(config, std::nullopt)));
    data.held_out_sets.push_back(
        {.name = BlendEntry{.prefix = prefix}.name(), .dataset = data.more_held_out.back().get()});
  }
}

void open_tokenizer(const TrainConfig& config, DataSources& data, Refusals& problems) {
  if (config.data.tokenizer.empty()) return;
  Expected<Tokenizer> tokenizer = Tokenizer::load(config.data.tokenizer);
  if (!tokenizer) {
    for (Refusal& refusal : tokenizer.error()) problems.push_back(std::move(refusal));
  } else if (tokenizer->vocabulary_size() > config.model.vocabulary) {
    problems.push_back({.where = fmt::format("data.tokenizer = \"{}\"", config.data.tokenizer),
                        .found = fmt::format("{} entries", tokenizer->vocabulary_size()),
                        .allowed = fmt::format("at most model.vocabulary = {}", config.model.vocabulary),
                        .nearest = fmt::format("model.vocabulary = {}", tokenizer->vocabulary_size())});
  } else {
    data.tokenizer = std::move(*tokenizer);
  }
}

// Middles are moved in the training data, and measured on held-out text: what they cost with both sides in
// view and what with the left one alone. Everything else has been opened.
void add_infill(const TrainConfig& config, DataSources& data, Refusals& problems) {
  const Expected<InfillTokens> tokens =
      find_infill_tokens(*data.tokenizer, config.data.infill_tokens,
                         fmt::format("data.tokenizer = \"{}\"", config.data.tokenizer));
  if (!tokens) {
    problems.insert(problems.end(), tokens.error().begin(), tokens.error().end());
    return;
  }
  InfillOptions options{.sequence = config.batch.sequence,
                        .tokens = *tokens,
                        .seed = config.seed,
                        .rate = config.data.infill_rate,
                        .spm = config.data.infill_spm};
  data.train = make_infill_dataset(std::move(data.train), *data.tokenizer, options);
  if (!data.held_out_tokens) return;
  options.rate = 1;
  options.spm = 0;
  options.only_middles = true;
  for (const bool hide_suffix : {false, true}) {
    options.hide_suffix = hide_suffix;
    data.more_held_out.push_back(
        make_infill_dataset(make_token_dataset(data.held_out_tokens, options_of(config, std::nullopt)),
                            *data.tokenizer, options));
    data.held_out_sets.push_back(
        {.name = hide_suffix ? "middles-left" : "middles", .dataset = data.more_held_out.back().get()});
  }
}

// It is used only when a sample is due, which may be after hours.
void check_sample_prompt(const TrainConfig& config, const DataSources& data, Refusals& problems) {
  if (config.sample.tokens == 0 || config.sample.prompt.empty()) return;
  if (!data.tokenizer) {
    problems.push_back({.where = "sample.prompt",
                        .found = "a text, for a run without data.tokenizer",
                        .allowed = "\"\", or data.tokenizer given",
                        .nearest = ""});
    return;
  }
  std::vector<std::int32_t> ids;
  data.tokenizer->encode(config.sample.prompt, ids);
  if (static_cast<std::int64_t>(ids.size()) < config.model.sequence) return;
  problems.push_back({.where = "sample.prompt",
                      .found = fmt::format("{} tokens", ids.size()),
                      .allowed = fmt::format("fewer than model.sequence = {}", config.model.sequence),
                      .nearest = "a shorter beginning"});
}

}  // namespace

Expected<DataSources> open_data(const TrainConfig& config) {
  DataSources data;
  Refusals problems;
  const std::int64_t sequence = config.batch.sequence;
  if (!config.data.blend.empty()) {
    open_blend(config, data, problems);
  } else if (config.data.source == "synthetic") {
    data.train = make_synthetic_dataset(config.data.synthetic_vocabulary, sequence, config.seed, false);
    data.held_out = make_synthetic_dataset(config.data.synthetic_vocabulary, sequence, config.seed, true);
  } else {
    const auto tokens = open_tokens("data.source", config.data.source, config, problems);
    if (tokens) {
      data.train_tokens = {tokens};
      data.train = make_token_dataset(tokens, options_of(config, config.seed));
      data.epoch_samples = data.train->samples_per_epoch();
    }
  }
  if (!config.data.held_out.empty()) {
    data.held_out_tokens = open_tokens("data.held_out", config.data.held_out, config, problems);
    if (data.held_out_tokens) {
      data.held_out = make_token_dataset(data.held_out_tokens, options_of(config, std::nullopt));
    }
  }
  open_more_held_out(config, data, problems);
  open_tokenizer(config, data, problems);
  if (problems.empty()) check_sample_prompt(config, data, problems);
  if (problems.empty() && config.data.infill_rate > 0) add_infill(config, data, problems);
  if (!problems.empty()) return refuse(std::move(problems));
  return data;
}

}  // namespace megalith::app
