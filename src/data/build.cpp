#include "data/build.h"

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/digest.h"
#include "data/document_facts.h"
#include "data/in_order.h"
#include "data/quarantine_file.h"
#include "data/record_encoder.h"
#include "data/token_file_names.h"
#include "data/token_file_writer.h"
#include "data/token_meta.h"
#include "data/tokenizer/token_encoder.h"

namespace megalith {
namespace {

Refusals problems_of(const BuildOptions& options) {
  Refusals refusals;
  if (!options.output_prefix.has_filename()) {
    refusals.push_back({.where = "output prefix",
                        .found = fmt::format("\"{}\"", options.output_prefix.string()),
                        .allowed = "a path that ends in a file name",
                        .nearest = ""});
  }
  if (options.held_out_every < 0 || options.held_out_every == 1) {
    refusals.push_back({.where = "held-out every",
                        .found = fmt::format("{}", options.held_out_every),
                        .allowed = "0 (nothing is held out) or from 2 up",
                        .nearest = "20"});
  }
  if (options.block_bytes < 1 || options.block_bytes > 65536) {
    refusals.push_back({.where = "block bytes",
                        .found = fmt::format("{}", options.block_bytes),
                        .allowed = "1..65536",
                        .nearest = "4096"});
  }
  if (options.shard_tokens < 0) {
    refusals.push_back({.where = "shard tokens",
                        .found = fmt::format("{}", options.shard_tokens),
                        .allowed = "0 (no shards) or from 1 up",
                        .nearest = "0"});
  }
  if (options.num_workers < 1 || options.num_workers > 1024) {
    refusals.push_back({.where = "workers",
                        .found = fmt::format("{}", options.num_workers),
                        .allowed = "1..1024",
                        .nearest = ""});
  }
  return refusals;
}

// One pair of token files that is being written, with what stands beside it.
class ShardWriter {
 public:
  ShardWriter(const std::filesystem::path& prefix, TokenType type)
      : tokens_(prefix, type), facts_(temporary_of(with_suffix(prefix, ".documents"))) {}

  void append(std::span<const std::int32_t> ids) { tokens_.append(ids); }
  void add_text(std::int64_t bytes) { bytes_ += bytes; }
  void end_document(std::uint32_t source, std::size_t num_prompt) {
    tokens_.end_document();
    facts_.add(source, static_cast<std::uint32_t>(num_prompt));
  }
  [[nodiscard]] std::int64_t num_tokens() const { return tokens_.num_tokens(); }
  [[nodiscard]] std::int64_t num_documents() const { return tokens_.num_documents(); }

  void seal() {
    digests_ = tokens_.seal();
    facts_digest_ = facts_.seal();
  }

  // `meta` has everything that is not this shard's own.
  void publish_as(const std::filesystem::path& prefix, TokenMeta meta) {
    meta.bytes = bytes_;
    meta.tokens = num_tokens();
    meta.documents = num_documents();
    meta.bin_digest = to_hex(digests_.bin);
    meta.idx_digest = to_hex(digests_.idx);
    const bool has_facts = meta.source_names.size() > 1 || facts_.has_prompts();
    if (has_facts) {
      meta.has_prompts = facts_.has_prompts();
      meta.documents_digest = to_hex(facts_digest_);
    }
    tokens_.publish_as(prefix, to_json(meta), has_facts ? facts_.path() : std::filesystem::path());
  }

 private:
  TokenFileWriter tokens_;
  DocumentFactsWriter facts_;
  std::int64_t bytes_ = 0;
  TokenFileWriter::Digests digests_;
  std::uint64_t facts_digest_ = 0;
};

// One of the two outputs.
class PartBuilder {
 public:
  PartBuilder(std::filesystem::path prefix, const Tokenizer& tokenizer, std::int64_t shard_tokens)
      : prefix_(std::move(prefix)),
        type_(token_type_for(tokenizer.vocabulary_size())),
        end_(tokenizer.end_of_document()),
        shard_tokens_(shard_tokens) {
    begin_shard();
  }

  // Adds to the open document, or opens one. `source` and `num_prompt` count where it opens one.
  void add(std::span<const std::int32_t> ids, std::int64_t text_bytes, std::uint32_t source,
           std::size_t num_prompt) {
    if (!open_) {
      if (shard_tokens_ > 0 && shards_.back()->num_tokens() >= shard_tokens_) begin_shard();
      open_ = true;
      source_ = source;
      num_prompt_ = num_prompt;
      first_token_ = shards_.back()->num_tokens();
    }
    shards_.back()->append(ids);
    shards_.back()->add_text(text_bytes);
    part_.bytes += text_bytes;
    ++part_.records;
  }

  // Tokens of the document with its end; 0 where none was open.
  std::int64_t end_document() {
    if (!open_) return 0;
    ShardWriter& shard = *shards_.back();
    if (end_) shard.append({&*end_, 1});
    shard.end_document(source_, num_prompt_);
    open_ = false;
    const std::int64_t tokens = shard.num_tokens() - first_token_;
    part_.tokens += tokens;
    ++part_.documents;
    return tokens;
  }
  [[nodiscard]] bool is_open() const { return open_; }
  [[nodiscard]] std::uint32_t open_source() const { return source_; }

  void seal() { shards_.back()->seal(); }

  // After seal(). `meta` has everything that is not this part's own.
  void publish(TokenMeta meta, const char* name) {
    meta.part = name;
    remove_token_files(prefix_);
    const auto num_shards = static_cast<std::int64_t>(shards_.size());
    for (std::int64_t s = 0; s < num_shards; ++s) {
      shards_[static_cast<std::size_t>(s)]->publish_as(
          shard_tokens_ == 0 ? prefix_ : shard_prefix(prefix_, s, num_shards), meta);
    }
  }

  [[nodiscard]] const BuildPart& part() const { return part_; }
  [[nodiscard]] std::int64_t num_shards() const { return static_cast<std::int64_t>(shards_.size()); }

 private:
  void begin_shard() {
    if (!shards_.empty()) shards_.back()->seal();
    // How many there will be is not known yet: they get their names in the end.
    const std::filesystem::path prefix =
        shard_tokens_ == 0 ? prefix_ : with_suffix(prefix_, fmt::format("-{:05}", shards_.size()));
    shards_.push_back(std::make_unique<ShardWriter>(prefix, type_));
  }

  std::filesystem::path prefix_;
  TokenType type_;
  std::optional<std::int32_t> end_;
  std::int64_t shard_tokens_;
  std::vector<std::unique_ptr<ShardWriter>> shards_;  // all but the last are sealed
  bool open_ = false;
  std::uint32_t source_ = 0;  // of the open document, as the next two
  std::size_t num_prompt_ = 0;
  std::int64_t first_token_ = 0;
  BuildPart part_;
};

// Numbers for the names of sources, in the order in which they are met.
class SourceNames {
 public:
  explicit SourceNames(std::vector<BuildSource>& sources) : sources_(&sources) {}
  std::uint32_t number_of(const std::string& name) {
    const auto [entry, is_new] = numbers_.try_emplace(name, static_cast<std::uint32_t>(sources_->size()));
    if (is_new) sources_->push_back({.name = name});
    return entry->second;
  }

 private:
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::vector<BuildSource>* sources_;
};

class Builder {
 public:
  Builder(std::span<const std::filesystem::path> files, const Tokenizer& tokenizer,
          const BuildOptions& options)
      : files_(files),
        options_(options),
        training_(options.held_out_every == 0 ? options.output_prefix
                                              : with_suffix(options.output_prefix, "-train"),
                  tokenizer, options.shard_tokens),
        quarantine_(options.output_prefix),
        source_names_(report_.sources) {
    remove_leftovers(options.output_prefix);
    if (options.held_out_every > 0)
      held_out_.emplace(with_suffix(options.output_prefix, "-held_out"), tokenizer, options.shard_tokens);
  }

  void add(const EncodedBatch& batch) {
    std::span<const std::int32_t> ids = batch.ids;
    for (const EncodedRecord& record : batch.records) {
      if (record.file != file_) end_document(training_);
      file_ = record.file;
      for (const Quarantined& quarantined : record.quarantined) {
        quarantine_.add(files_[static_cast<std::size_t>(file_)].string(), quarantined);
      }
      count(record);
      if (record.text_bytes > 0) add_text(record, ids.first(record.num_ids));
      ids = ids.subspan(record.num_ids);
    }
  }

  // Refused: there is no text, or held-out data was asked for and there is none.
  Expected<BuildReport> finish(TokenMeta meta, const std::vector<RecordReader::FileFacts>& files) {
    end_document(training_);
    report_.files = static_cast<std::int64_t>(files.size());
    for (const RecordReader::FileFacts& file : files) {
      meta.sources.push_back(
          {.path = file.path.string(), .bytes = file.file_bytes, .digest = to_hex(file.digest)});
      report_.bytes_read += file.text_bytes;
      report_.mark_bytes += file.mark_bytes;
    }
    if (Expected<void> ok = check_amount(meta); !ok) return tl::unexpected(std::move(ok).error());
    for (const BuildSource& source : report_.sources) meta.source_names.push_back(source.name);
    training_.seal();
    if (held_out_) held_out_->seal();
    training_.publish(meta, held_out_ ? "training" : "all");
    report_.training = training_.part();
    report_.shards = training_.num_shards();
    if (held_out_) {
      held_out_->publish(meta, "held-out");
      report_.held_out = held_out_->part();
    }
    quarantine_.publish();
    return std::move(report_);
  }

 private:
  void count(const EncodedRecord& record) {
    std::int64_t quarantined = 0;
    for (const Quarantined& run : record.quarantined) quarantined += run.bytes;
    report_.quarantined_bytes += quarantined;
    const bool empty = record.text_bytes == 0 && quarantined == 0;
    (empty ? report_.empty_bytes : report_.kept_bytes) += record.bytes - quarantined;
    if (!record.is_json) {
      report_.quarantined_runs += static_cast<std::int64_t>(record.quarantined.size());
      return;
    }
    ++report_.lines_read;
    ++(empty ? report_.lines_empty : quarantined > 0 ? report_.lines_quarantined : report_.lines_kept);
    if (record.is_pair && record.text_bytes > 0) ++report_.pairs;
  }

  void add_text(const EncodedRecord& record, std::span<const std::int32_t> ids) {
    const std::uint32_t source = source_names_.number_of(
        record.source.empty() ? files_[static_cast<std::size_t>(record.file)].string() : record.source);
    const bool is_held_out = held_out_ && ++num_records_ % options_.held_out_every == 0;
    if (is_held_out || record.is_json) end_document(training_);
    PartBuilder& part = is_held_out ? *held_out_ : training_;
    part.add(ids, record.text_bytes, source, record.num_prompt);
    if (is_held_out || record.is_json) end_document(part);
  }

  void end_document(PartBuilder& part) {
    if (!part.is_open()) return;
    BuildSource& source = report_.sources[part.open_source()];
    ++source.documents;
    source.tokens += part.end_document();
  }

  [[nodiscard]] Expected<void> check_amount(const TokenMeta& meta) const {
    const std::string where = meta.sources.empty() ? "text files" : meta.sources.front().path;
    if (num_records_ == 0 && training_.part().records == 0) {
      return refuse(
          {.where = where,
           .found = fmt::format("no text in {} bytes, {} of them quarantined", report_.bytes_read,
                                report_.quarantined_bytes),
           .allowed = "files with text",
           .nearest = report_.lines_quarantined > 0 ? "--text-key, where the text has another key" : ""});
    }
    if (!held_out_ || held_out_->part().records > 0) return {};
    return refuse({.where = where,
                   .found = fmt::format("{} blocks of text, {} bytes", num_records_, training_.part().bytes),
                   .allowed = fmt::format("at least {}, as every {}th is held out", options_.held_out_every,
                                          options_.held_out_every),
                   .nearest = "smaller blocks, or hold out nothing (0)"});
  }

  std::span<const std::filesystem::path> files_;
  const BuildOptions& options_;
  BuildReport report_;
  PartBuilder training_;
  std::optional<PartBuilder> held_out_;
  QuarantineFile quarantine_;
  SourceNames source_names_;
  std::int32_t file_ = 0;         // of the record before
  std::int64_t num_records_ = 0;  // that were kept; counted where some are held out
};

}  // namespace

Expected<BuildReport> build_token_files(std::span<const std::filesystem::path> files,
                                        const Tokenizer& tokenizer, const BuildOptions& options) {
  if (Refusals refusals = problems_of(options); !refusals.empty()) return refuse(std::move(refusals));
  constexpr std::size_t kBatchBytes = std::size_t{1} << 20;
  RecordReader reader({files.begin(), files.end()}, static_cast<std::size_t>(options.block_bytes));
  Builder builder(files, tokenizer, options);
  std::vector<TokenEncoder> encoders;
  std::vector<RecordParser> parsers;
  for (int worker = 0; worker < options.num_workers; ++worker) {
    encoders.emplace_back(tokenizer);
    parsers.emplace_back(options.rules);
  }
  bool stopped = false;
  const auto read = [&](RecordBatch& batch) {
    stopped = stopped || (options.stop_requested && options.stop_requested());
    return !stopped && reader.next(batch, kBatchBytes);
  };
  try {
    InOrder<RecordBatch, EncodedBatch>::run(
        options.num_workers, read,
        [&](RecordBatch& batch, int worker) {
          const auto w = static_cast<std::size_t>(worker);
          return encode_records(batch, parsers[w], encoders[w]);
        },
        [&](EncodedBatch& batch) { builder.add(batch); });
  } catch (const RefusedInput& refused) {
    return refuse(refused.refusals());
  }
  if (stopped) return BuildReport{.stopped = true};
  TokenMeta meta;
  meta.tokenizer_digest = to_hex(tokenizer.digest());
  meta.vocabulary = tokenizer.vocabulary_size();
  Expected<BuildReport> report = builder.finish(std::move(meta), reader.files());
  if (!report) return report;
  MEGALITH_CHECK(report->bytes_read ==
                 report->kept_bytes + report->empty_bytes + report->quarantined_bytes + report->mark_bytes);
  MEGALITH_CHECK(report->lines_read == report->lines_kept + report->lines_empty + report->lines_quarantined);
  return report;
}

}  // namespace megalith
