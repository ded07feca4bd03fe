#include "app/training/data_sources.h"

#include <algorithm>
#include <utility>

#include "app/edit_distance.h"
#include "core/digest.h"
#include "data/blend.h"
#include "data/infill_dataset.h"
#include "data/token_file_names.h"
#include "train/blend_entry.h"

namespace megalith::app {
namespace {

// Without reading all tokens: by what their .meta.json says, or because that would take long. An id that does
// not fit after all is refused when it is met.
bool known_to_fit(const TokenFile& tokens, std::int64_t vocabulary) {
  constexpr std::int64_t kMostScanned = std::int64_t{1} << 28;
  return tokens.meta() ? tokens.meta()->vocabulary <= vocabulary : tokens.num_tokens() > kMostScanned;
}

// -1 where all ids are known to fit.
std::int32_t largest_in_doubt(const TokenSet& tokens, std::int64_t vocabulary) {
  std::int32_t largest = -1;
  for (const auto& file : tokens.files()) {
    if (!known_to_fit(*file, vocabulary)) largest = std::max(largest, file->largest_id());
  }
  return largest;
}

TokenDatasetOptions options_of(const TrainConfig& config, std::optional<std::uint64_t> shuffle_seed) {
  return {.sequence = config.batch.sequence,
          .shuffle_seed = shuffle_seed,
          .document_masks = config.data.document_masks,
          .loss_on = config.data.loss_on,
          .packing = config.data.packing,
          .vocabulary = config.model.vocabulary};
}

// Where nothing at all lies under the name; what is wrong with files that are there, they say themselves.
bool is_missing(const std::string& prefix) {
  const auto prefixes = token_file_prefixes(prefix);
  return prefixes && prefixes->size() == 1 && prefixes->front() == prefix &&
         !std::filesystem::exists(with_suffix(prefix, ".idx"));
}

Refusal missing(const char* key, const std::string& prefix) {
  const std::vector<std::string> known = token_file_names_beside(prefix);
  std::string nearest = nearest_word(prefix, known);
  if (nearest.empty() && known.size() == 1) nearest = known.front();
  return {
      .where = fmt::format("{} = \"{}\"", key, prefix),
      .found = fmt::format("no token files of this name ({}.idx)", prefix),
      .allowed = "the path of token files without .bin and .idx, of the set of their shards, or a pattern",
      .nearest = std::move(nearest)};
}

std::shared_ptr<const TokenSet> open_tokens(const char* key, const std::string& prefix,
                                            const TrainConfig& config, Refusals& problems) {
  if (is_missing(prefix)) {
    problems.push_back(missing(key, prefix));
    return nullptr;
  }
  Expected<std::shared_ptr<const TokenSet>> file = TokenSet::open(prefix);
  if (!file) {
    for (Refusal& refusal : file.error()) problems.push_back(std::move(refusal));
    return nullptr;
  }
  if (config.data.loss_on == LossOn::completion && !(*file)->has_prompts()) {
    problems.push_back({.where = fmt::format("{} = \"{}\"", key, prefix),
                        .found = "documents without prompts, where data.loss_on = \"completion\"",
                        .allowed = "token files built from lines of {\"prompt\", \"completion\"}",
                        .nearest = "data.loss_on = \"all\""});
    return nullptr;
  }
  const std::int32_t largest = largest_in_doubt(**file, config.model.vocabulary);
  if (largest >= config.model.vocabulary) {
    problems.push_back({.where = fmt::format("{} = \"{}\"", key, prefix),
                        .found = fmt::format("token id {}", largest),
                        .allowed = fmt::format("ids below model.vocabulary = {}", config.model.vocabulary),
                        .nearest = fmt::format("model.vocabulary = {}", std::int64_t{largest} + 1)});
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
  std::vector<std::string> prefixes;
  for (const BlendEntry& entry : entries) prefixes.push_back(entry.prefix);
  const std::vector<std::string> names = names_of_prefixes(prefixes);
  std::vector<BlendSource> sources;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const BlendEntry& entry = entries[i];
    const auto tokens = open_tokens("data.blend", entry.prefix, config, problems);
    if (!tokens) continue;
    data.train_tokens.push_back(tokens);
    // Each source has an order of its own, also where the same files are given twice.
    const std::uint64_t seed = config.seed + sources.size();
    std::unique_ptr<Dataset> dataset = make_token_dataset(tokens, options_of(config, seed));
    const std::uint64_t weight = blend_weight(entry, sum, *dataset);
    sources.push_back({.name = names[i], .dataset = std::move(dataset), .weight = weight});
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
  const std::vector<std::string> names = names_of_prefixes(config.data.more_held_out);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string& prefix = config.data.more_held_out[i];
    const auto tokens = open_tokens("data.more_held_out", prefix, config, problems);
    if (!tokens) continue;
    data.more_held_out.push_back(make_token_dataset(tokens, options_of(config, std::nullopt)));
    data.held_out_sets.push_back({.name = names[i], .dataset = data.more_held_out.back().get()});
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

// Token files that another tokenizer made would train, and every text of the model be wrong.
void check_tokens_are_of(const Tokenizer& tokenizer, const TrainConfig& config, const DataSources& data,
                         Refusals& problems) {
  std::vector<std::shared_ptr<const TokenSet>> sets = data.train_tokens;
  if (data.held_out_tokens) sets.push_back(data.held_out_tokens);
  for (const auto& tokens : sets) {
    const std::string digest = tokens->tokenizer_digest();
    if (digest.empty() || digest == to_hex(tokenizer.digest())) continue;
    problems.push_back(
        {.where = fmt::format("data.tokenizer = \"{}\"", config.data.tokenizer),
         .found = fmt::format("the digest {}", to_hex(tokenizer.digest())),
         .allowed = fmt::format("{}, of the tokenizer that made {}", digest, tokens->files().front()->path()),
         .nearest = "that tokenizer, or token files built with this one"});
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
  if (data.tokenizer) check_tokens_are_of(*data.tokenizer, config, data, problems);
  if (!problems.empty()) return refuse(std::move(problems));
  return data;
}

}  // namespace megalith::app
