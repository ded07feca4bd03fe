#include "data/build.h"

#include <optional>
#include <string>
#include <vector>

#include "core/digest.h"
#include "data/text_blocks.h"
#include "data/text_file.h"
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
  return refusals;
}

// One of the two outputs.
class PartBuilder {
 public:
  PartBuilder(std::filesystem::path prefix, const Tokenizer& tokenizer)
      : writer_(std::move(prefix), token_type_for(tokenizer.vocabulary_size())),
        end_(tokenizer.end_of_document()) {}

  void add_block(std::string_view text, TokenEncoder& encoder) {
    ids_.clear();
    encoder.encode(text, ids_);
    writer_.append(ids_);
    open_ = true;
    part_.bytes += static_cast<std::int64_t>(text.size());
    ++part_.blocks;
  }

  void end_document() {
    if (!open_) return;
    if (end_) writer_.append({&*end_, 1});
    writer_.end_document();
    open_ = false;
  }

  // `meta` has everything that is not this part's own.
  void seal(TokenMeta meta, const char* name) {
    const TokenFileWriter::Digests digests = writer_.seal();
    part_.documents = writer_.num_documents();
    part_.tokens = writer_.num_tokens();
    meta.part = name;
    meta.bytes = part_.bytes;
    meta.tokens = part_.tokens;
    meta.documents = part_.documents;
    meta.bin_digest = to_hex(digests.bin);
    meta.idx_digest = to_hex(digests.idx);
    meta_ = to_json(meta);
  }

  void publish() { writer_.publish(meta_); }

  [[nodiscard]] const BuildPart& part() const { return part_; }

 private:
  TokenFileWriter writer_;
  std::optional<std::int32_t> end_;
  std::vector<std::int32_t> ids_;
  bool open_ = false;
  BuildPart part_;
  std::string meta_;
};

std::filesystem::path with_suffix(const std::filesystem::path& prefix, const char* suffix) {
  std::filesystem::path path = prefix;
  path += suffix;
  return path;
}

class Builder {
 public:
  Builder(const Tokenizer& tokenizer, const BuildOptions& options)
      : options_(options),
        encoder_(tokenizer),
        training_(options.held_out_every == 0 ? options.output_prefix
                                              : with_suffix(options.output_prefix, "-train"),
                  tokenizer) {
    if (options.held_out_every > 0)
      held_out_.emplace(with_suffix(options.output_prefix, "-held_out"), tokenizer);
  }

  void add(std::string_view text) {
    while (!text.empty()) {
      const std::string_view block = first_block(text, static_cast<std::size_t>(options_.block_bytes));
      text.remove_prefix(block.size());
      if (held_out_ && ++blocks_ % options_.held_out_every == 0) {
        training_.end_document();
        held_out_->add_block(block, encoder_);
        held_out_->end_document();
      } else {
        training_.add_block(block, encoder_);
      }
    }
    training_.end_document();
  }

  // Refused: held-out data was asked for and there is none.
  Expected<void> finish(const TokenMeta& meta, BuildReport& report) {
    if (held_out_ && held_out_->part().blocks == 0) {
      return refuse({.where = meta.sources.front().path,
                     .found = fmt::format("{} blocks of text, {} bytes", blocks_, training_.part().bytes),
                     .allowed = fmt::format("at least {}, as every {}th is held out", options_.held_out_every,
                                            options_.held_out_every),
                     .nearest = "smaller blocks, or hold out nothing (0)"});
    }
    training_.seal(meta, held_out_ ? "training" : "all");
    if (held_out_) held_out_->seal(meta, "held-out");
    training_.publish();
    report.training = training_.part();
    if (!held_out_) return {};
    held_out_->publish();
    report.held_out = held_out_->part();
    return {};
  }

 private:
  const BuildOptions& options_;
  TokenEncoder encoder_;
  PartBuilder training_;
  std::optional<PartBuilder> held_out_;
  std::int64_t blocks_ = 0;
};

}  // namespace

Expected<BuildReport> build_token_files(std::span<const std::filesystem::path> files,
                                        const Tokenizer& tokenizer, const BuildOptions& options) {
  if (Refusals refusals = problems_of(options); !refusals.empty()) return refuse(std::move(refusals));
  Expected<std::unique_ptr<TextFiles>> texts = TextFiles::open(files);
  if (!texts) return tl::unexpected(std::move(texts).error());
  Builder builder(tokenizer, options);
  BuildReport report;
  TokenMeta meta;
  meta.tokenizer_digest = to_hex(tokenizer.digest());
  meta.vocabulary = tokenizer.vocabulary_size();
  for (std::size_t i = 0; i < files.size(); ++i) {
    const TextFile& file = (*texts)->files()[i];
    const auto bytes = static_cast<std::int64_t>(file.bytes().size());
    meta.sources.push_back({.path = files[i].string(),
                            .bytes = bytes,
                            .digest = to_hex(digest_bytes(file.bytes().data(), file.bytes().size()))});
    ++report.files;
    report.bytes_read += bytes;
    report.mark_bytes += static_cast<std::int64_t>(file.mark_bytes());
    builder.add(file.text());
  }
  if (Expected<void> ok = builder.finish(meta, report); !ok) return tl::unexpected(std::move(ok).error());
  MEGALITH_CHECK(report.training.bytes + report.held_out.bytes + report.mark_bytes == report.bytes_read);
  return report;
}

}  // namespace megalith
