#include "app/training/data_sources.h"

namespace megalith::app {
namespace {

std::shared_ptr<const TokenFile> open_tokens(const char* key, const std::string& prefix,
                                             const TrainConfig& config, Refusals& problems) {
  Expected<std::shared_ptr<const TokenFile>> file = TokenFile::open(prefix);
  if (!file) {
    for (Refusal& refusal : file.error()) problems.push_back(std::move(refusal));
    return nullptr;
  }
  if ((*file)->largest_id() >= config.model.vocabulary) {
    problems.push_back({.where = fmt::format("{} = \"{}\"", key, prefix),
                        .found = fmt::format("token id {}", (*file)->largest_id()),
                        .allowed = fmt::format("ids below model.vocabulary = {}", config.model.vocabulary),
                        .nearest = fmt::format("model.vocabulary = {}", (*file)->largest_id() + 1)});
    return nullptr;
  }
  return std::move(*file);
}

}  // namespace

Expected<DataSources> open_data(const TrainConfig& config) {
  DataSources data;
  Refusals problems;
  const std::int64_t sequence = config.batch.sequence;
  const bool masks = config.data.document_masks;
  if (config.data.source == "synthetic") {
    data.train = make_synthetic_dataset(config.data.synthetic_vocabulary, sequence, config.seed, false);
    data.held_out = make_synthetic_dataset(config.data.synthetic_vocabulary, sequence, config.seed, true);
  } else {
    data.train_tokens = open_tokens("data.source", config.data.source, config, problems);
    if (data.train_tokens) data.train = make_token_dataset(data.train_tokens, sequence, config.seed, masks);
  }
  if (!config.data.held_out.empty()) {
    data.held_out_tokens = open_tokens("data.held_out", config.data.held_out, config, problems);
    if (data.held_out_tokens) {
      data.held_out = make_token_dataset(data.held_out_tokens, sequence, std::nullopt, masks);
    }
  }
  if (!config.data.tokenizer.empty()) {
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
  if (!problems.empty()) return refuse(std::move(problems));
  return data;
}

}  // namespace megalith::app
