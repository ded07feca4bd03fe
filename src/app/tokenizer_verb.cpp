// megalith tokenizer train|encode|decode|verify.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <memory>

#include "app/console.h"
#include "app/verbs.h"
#include "core/digest.h"
#include "core/file.h"
#include "core/thread_pool.h"
#include "data/text_file.h"
#include "data/tokenizer/bpe_trainer.h"

namespace megalith::app {
namespace {

struct Options {
  std::vector<std::filesystem::path> files;
  std::filesystem::path tokenizer;
  std::filesystem::path output = "tokenizer.json";
  std::int32_t vocabulary = 4096;
  int threads = 0;
  bool special = false;
};

constexpr std::size_t kLargestIdsFile = std::size_t{1} << 30;

ExitCode train_tokenizer(const Options& options) {
  const std::unique_ptr<TextFiles> source = value_or_throw(TextFiles::open(options.files));
  BpeTrainingReport report;
  const Tokenizer tokenizer =
      value_or_throw(train_bpe(*source,
                               {.vocabulary_size = options.vocabulary,
                                .num_threads = options.threads > 0 ? options.threads : usable_processors()},
                               &report));
  if (options.output.has_parent_path()) std::filesystem::create_directories(options.output.parent_path());
  tokenizer.save(options.output);
  print(fmt::format("{}: {} entries from {} bytes, {} pieces of which {} distinct\n", options.output.string(),
                    tokenizer.vocabulary_size(), report.text_bytes, report.pieces, report.distinct_pieces));
  if (tokenizer.vocabulary_size() < options.vocabulary) {
    print(fmt::format("the text has no more pairs to merge: {} entries of {} wanted\n",
                      tokenizer.vocabulary_size(), options.vocabulary));
  }
  return ExitCode::done;
}

ExitCode encode_files(const Options& options) {
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(options.tokenizer));
  for (const std::filesystem::path& path : options.files) {
    const MappedFile file = value_or_throw(MappedFile::open(path));
    std::vector<std::int32_t> ids;
    tokenizer.encode(file.text(), ids, options.special ? SpecialTokens::recognized : SpecialTokens::as_text);
    std::string line;
    for (const std::int32_t id : ids) line += fmt::format(fmt::runtime(line.empty() ? "{}" : " {}"), id);
    print(line + "\n");
  }
  return ExitCode::done;
}

// Ids are decimal numbers apart by white space.
Expected<std::vector<std::int32_t>> parse_ids(std::string_view text, const std::string& where) {
  std::vector<std::int32_t> ids;
  std::size_t at = 0;
  while (true) {
    at = text.find_first_not_of(" \t\r\n,", at);
    if (at == std::string_view::npos) return ids;
    const std::size_t end = std::min(text.find_first_of(" \t\r\n,", at), text.size());
    std::int32_t id = 0;
    const auto [stopped, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc() || stopped != text.data() + end) {
      return refuse({.where = where,
                     .found = std::string(text.substr(at, std::min<std::size_t>(end - at, 40))),
                     .allowed = "token ids: decimal numbers apart by spaces",
                     .nearest = ""});
    }
    ids.push_back(id);
    at = end;
  }
}

ExitCode decode_files(const Options& options) {
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(options.tokenizer));
  for (const std::filesystem::path& path : options.files) {
    const std::string text = value_or_throw(read_file(path, kLargestIdsFile));
    print(value_or_throw(tokenizer.decode(value_or_throw(parse_ids(text, path.string())))));
  }
  return ExitCode::done;
}

ExitCode verify_tokenizer(const Options& options) {
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(options.tokenizer));
  print(fmt::format("{}: {} entries, digest {}\n", options.tokenizer.string(), tokenizer.vocabulary_size(),
                    to_hex(tokenizer.digest())));
  for (const AddedToken& token : tokenizer.added_tokens()) {
    print(fmt::format("  {:>8}  {}\n", token.id, tokenizer.bytes_of(token.id)));
  }
  for (const std::filesystem::path& path : options.files) {
    const MappedFile file = value_or_throw(MappedFile::open(path));
    std::vector<std::int32_t> ids;
    tokenizer.encode(file.text(), ids);
    if (value_or_throw(tokenizer.decode(ids)) != file.text()) {
      complain(path.string() + ": text changed by encoding and decoding");
      return ExitCode::failed;
    }
    print(fmt::format("{}: {} bytes, {} tokens, decoded without loss\n", path.string(), file.text().size(),
                      ids.size()));
  }
  return ExitCode::done;
}

constexpr const char* kExamples = R"(Examples:
  megalith tokenizer train book.txt --vocabulary 4096 --output tokenizer.json
  megalith tokenizer encode tokenizer.json page.txt > ids.txt
  megalith tokenizer decode tokenizer.json ids.txt
  megalith tokenizer verify tokenizer.json page.txt
)";

}  // namespace

void add_tokenizer_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("tokenizer", "Train a tokenizer, encode, decode, verify");
  verb->footer(kExamples);
  verb->require_subcommand(1);

  CLI::App* train = verb->add_subcommand("train", "Learn a byte-level BPE from text files");
  train->add_option("FILES", options->files, "Plain text files")->required();
  train->add_option("--vocabulary", options->vocabulary, "Entries, the 256 bytes and <|endoftext|> included")
      ->capture_default_str();
  train->add_option("--output", options->output, "Where to write the tokenizer.json")->capture_default_str();
  train->add_option("--threads", options->threads, "0 takes every usable processor; never changes the result")
      ->check(CLI::Range(0, 1024));
  train->callback([options, &run] { run = [options] { return train_tokenizer(*options); }; });

  const auto with_tokenizer = [&](const char* name, const char* help, ExitCode (*action)(const Options&)) {
    CLI::App* sub = verb->add_subcommand(name, help);
    sub->add_option("TOKENIZER", options->tokenizer, "tokenizer.json, or a folder with GPT-2's two files")
        ->required();
    sub->callback([options, action, &run] { run = [options, action] { return action(*options); }; });
    return sub;
  };
  CLI::App* encode =
      with_tokenizer("encode", "Print the ids of each file's text, a line per file", encode_files);
  encode->add_option("FILES", options->files, "Files with any bytes")->required();
  encode->add_flag("--special", options->special, "Special tokens in the text become their ids");
  with_tokenizer("decode", "Print the text of ids", decode_files)
      ->add_option("FILES", options->files, "Files of ids apart by spaces")
      ->required();
  with_tokenizer("verify", "Check a tokenizer, and that files survive encoding and decoding",
                 verify_tokenizer)
      ->add_option("FILES", options->files, "Files with any bytes");
}

}  // namespace megalith::app
