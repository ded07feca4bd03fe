// megalith tokenizer train|encode|decode|verify|convert.

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/console.h"
#include "app/verbs.h"
#include "core/digest.h"
#include "core/file.h"
#include "core/thread_pool.h"
#include "data/infill_tokens.h"
#include "data/input_paths.h"
#include "data/record_texts.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/quoted.h"
#include "data/tokenizer/token_encoder.h"
#include "data/tokenizer/tokenizer_model.h"

namespace megalith::app {
namespace {

struct Options {
  std::vector<std::filesystem::path> files;
  std::filesystem::path tokenizer;
  std::filesystem::path output = "tokenizer.json";
  std::int32_t vocabulary = 4096;
  int threads = 0;
  bool special = false;
  std::vector<std::string> inputs;  // to train on
  std::string text_key = "text";
  std::vector<std::string> special_tokens;  // to declare, beside <|endoftext|>
  bool infill = false;
  std::string pattern;  // empty: gpt2 for training, the file's own for loading
};

constexpr std::size_t kLargestIdsFile = std::size_t{1} << 30;

std::optional<PiecePattern> chosen_pattern(const Options& options) {
  if (options.pattern.empty()) return std::nullopt;
  if (const auto pattern = pattern_named(options.pattern)) return pattern;
  throw RefusedInput(
      Refusals{{.where = "--pattern", .found = options.pattern, .allowed = pattern_names(), .nearest = ""}});
}

Tokenizer load_tokenizer(const Options& options) {
  return value_or_throw(Tokenizer::load(options.tokenizer, chosen_pattern(options)));
}

void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& path) {
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  tokenizer.save(path);
}

std::vector<std::string> special_tokens(const Options& options) {
  std::vector<std::string> tokens = {"<|endoftext|>"};
  if (options.infill) {
    for (std::string& token : usual_infill_tokens()) tokens.push_back(std::move(token));
  }
  tokens.insert(tokens.end(), options.special_tokens.begin(), options.special_tokens.end());
  return tokens;
}

ExitCode train_tokenizer(const Options& options) {
  const InputPaths inputs = value_or_throw(expand_inputs(options.inputs));
  RecordTexts source(inputs.files, {.text_key = options.text_key});
  BpeTrainingReport report;
  const Tokenizer tokenizer =
      value_or_throw(train_bpe(source,
                               {.vocabulary_size = options.vocabulary,
                                .special_tokens = special_tokens(options),
                                .pattern = chosen_pattern(options).value_or(PiecePattern::gpt2),
                                .num_threads = options.threads > 0 ? options.threads : usable_processors()},
                               &report));
  if (report.text_bytes == 0) {
    throw RefusedInput(
        {{.where = inputs.files.front().string(),
          .found = fmt::format("no text{}", inputs.files.size() > 1 ? " here and in the other files" : ""),
          .allowed = "files with text",
          .nearest = ""}});
  }
  save_tokenizer(tokenizer, options.output);
  print(fmt::format("{}: {} entries from {} bytes, {} pieces of which {} distinct\n", options.output.string(),
                    tokenizer.vocabulary_size(), report.text_bytes, report.pieces, report.distinct_pieces));
  if (source.num_quarantined() > 0) {
    complain(fmt::format("{} lines or runs of bytes left out; `megalith data build` says which and why",
                         source.num_quarantined()));
  }
  if (tokenizer.vocabulary_size() < options.vocabulary) {
    print(fmt::format("the text has no more pairs to merge: {} entries of {} wanted\n",
                      tokenizer.vocabulary_size(), options.vocabulary));
  }
  return ExitCode::done;
}

ExitCode encode_files(const Options& options) {
  const Tokenizer tokenizer = load_tokenizer(options);
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
  const Tokenizer tokenizer = load_tokenizer(options);
  for (const std::filesystem::path& path : options.files) {
    const std::string text = value_or_throw(read_file(path, kLargestIdsFile));
    print(value_or_throw(tokenizer.decode(value_or_throw(parse_ids(text, path.string())))));
  }
  return ExitCode::done;
}

// The bytes of an entry, encoded, should give that entry: otherwise no text ever gets it.
std::int64_t unreachable_entries(const Tokenizer& tokenizer) {
  TokenEncoder encoder(tokenizer);
  std::vector<bool> is_added(static_cast<std::size_t>(tokenizer.vocabulary_size()), false);
  for (const AddedToken& token : tokenizer.added_tokens())
    is_added[static_cast<std::size_t>(token.id)] = true;
  std::int64_t count = 0;
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    if (is_added[static_cast<std::size_t>(id)]) continue;
    ids.clear();
    encoder.encode(tokenizer.bytes_of(id), ids);
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ++count;
  }
  return count;
}

std::string pattern_name(const Tokenizer& tokenizer) {
  const auto pattern = tokenizer.pattern();
  return pattern ? std::string(name_of(*pattern)) : "of its own";
}

void print_summary(const Tokenizer& tokenizer, const std::string& name) {
  constexpr std::size_t kMostShown = 20;
  const auto added = tokenizer.added_tokens();
  // Loading refused ids with holes or twice, merges of parts that do not exist and bytes without an entry.
  print(fmt::format("{}: {} entries, {} merges, pattern {}, digest {}\n", name, tokenizer.vocabulary_size(),
                    tokenizer.model().parts.merges.size(), pattern_name(tokenizer),
                    to_hex(tokenizer.digest())));
  print("  ids without holes, each once; an entry for each of the 256 bytes; every merge's parts exist\n");
  if (const std::int64_t count = unreachable_entries(tokenizer); count > 0) {
    print(fmt::format("  {} entries do not come out of their own bytes: perhaps no text gets them\n", count));
  }
  if (!tokenizer.lossless()) {
    print(
        "  changes text: normalization form C, a space in front, white space that a token takes, or text "
        "that is removed\n");
  }
  for (const auto& [what, ids] :
       {std::pair("before", tokenizer.ids_before()), std::pair("after", tokenizer.ids_after())}) {
    for (const std::int32_t id : ids)
      print(fmt::format("  asks for {} {} a text; `encode` leaves it out\n", tokenizer.bytes_of(id), what));
  }
  print(fmt::format("  {} added tokens\n", added.size()));
  for (const AddedToken& token : added.first(std::min(kMostShown, added.size()))) {
    print(fmt::format("  {:>8}  {}{}\n", token.id, printable(tokenizer.bytes_of(token.id), 60),
                      token.special ? "" : "  (in any text)"));
  }
  if (added.size() > kMostShown) print(fmt::format("  ... and {} more\n", added.size() - kMostShown));
}

// What encoding and decoding gives back; where the tokenizer changes text, what doing so again gives back.
bool survives(const Tokenizer& tokenizer, std::string_view text, std::size_t& num_ids) {
  std::vector<std::int32_t> ids;
  tokenizer.encode(text, ids);
  num_ids = ids.size();
  const std::string decoded = value_or_throw(tokenizer.decode(ids));
  if (tokenizer.lossless()) return decoded == text;
  std::vector<std::int32_t> again;
  tokenizer.encode(decoded, again);
  return value_or_throw(tokenizer.decode(again)) == decoded;
}

ExitCode verify_tokenizer(const Options& options) {
  const Tokenizer tokenizer = load_tokenizer(options);
  print_summary(tokenizer, options.tokenizer.string());
  for (const std::filesystem::path& path : options.files) {
    const MappedFile file = value_or_throw(MappedFile::open(path));
    std::size_t num_ids = 0;
    if (!survives(tokenizer, file.text(), num_ids)) {
      complain(path.string() + ": text changed by encoding and decoding");
      return ExitCode::failed;
    }
    print(fmt::format("{}: {} bytes, {} tokens, decoded {}\n", path.string(), file.text().size(), num_ids,
                      tokenizer.lossless() ? "without loss" : "to the text as the tokenizer changes it"));
  }
  return ExitCode::done;
}

ExitCode convert_tokenizer(const Options& options) {
  const Tokenizer tokenizer = load_tokenizer(options);
  save_tokenizer(tokenizer, options.output);
  print(fmt::format("{}: {} entries, pattern {}\n", options.output.string(), tokenizer.vocabulary_size(),
                    pattern_name(tokenizer)));
  return ExitCode::done;
}

constexpr const char* kExamples = R"(Examples:
  megalith tokenizer train book.txt --vocabulary 4096 --output tokenizer.json
  megalith tokenizer train book.txt --pattern cl100k --vocabulary 32000 --output tokenizer.json
  megalith tokenizer train code.txt --infill --special '<|tool|>' --output tokenizer.json
  megalith tokenizer encode tokenizer.json page.txt > ids.txt
  megalith tokenizer decode tokenizer.json ids.txt
  megalith tokenizer verify tokenizer.json page.txt
  megalith tokenizer verify cl100k_base.tiktoken
  megalith tokenizer convert my.tiktoken --pattern o200k --output tokenizer.json
)";

}  // namespace

void add_tokenizer_verb(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("tokenizer", "Train a tokenizer, encode, decode, verify, convert");
  verb->footer(kExamples);
  verb->require_subcommand(1);

  CLI::App* train = verb->add_subcommand("train", "Learn a byte-level BPE from text files");
  train
      ->add_option("FILES", options->inputs,
                   "Plain text or .jsonl, each also as .gz or .zst; folders of these; patterns")
      ->required();
  train->add_option("--text-key", options->text_key, "Key of the text in lines of JSON")
      ->capture_default_str();
  train
      ->add_option("--vocabulary", options->vocabulary,
                   "Entries, the 256 bytes, <|endoftext|> and other special tokens included")
      ->capture_default_str();
  train
      ->add_option("--special", options->special_tokens,
                   "A special token beside <|endoftext|>; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  train->add_flag("--infill", options->infill,
                  "The special tokens that data.infill_rate needs: " +
                      fmt::format("{}", fmt::join(usual_infill_tokens(), ", ")));
  train->add_option("--output", options->output, "Where to write the tokenizer.json")->capture_default_str();
  train->add_option("--threads", options->threads, "0 takes every usable processor; never changes the result")
      ->check(CLI::Range(0, 1024));
  train->add_option("--pattern", options->pattern,
                    "How text is cut before it is merged: as GPT-2 (gpt2), GPT-4 (cl100k), GPT-4o (o200k) or "
                    "Qwen2 (qwen2) do; gpt2 when left out");
  train->callback([options, &run] { run = [options] { return train_tokenizer(*options); }; });

  const auto with_tokenizer = [&](const char* name, const char* help, ExitCode (*action)(const Options&)) {
    CLI::App* sub = verb->add_subcommand(name, help);
    sub->add_option(
           "TOKENIZER", options->tokenizer,
           "tokenizer.json, a tiktoken rank file, or a folder with one of these or with GPT-2's two files")
        ->required();
    sub->add_option("--pattern", options->pattern,
                    "For tiktoken rank files of an unknown size: gpt2, cl100k, qwen2 or o200k");
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
  with_tokenizer("convert", "Write any tokenizer that can be loaded as a tokenizer.json", convert_tokenizer)
      ->add_option("--output", options->output, "Where to write the tokenizer.json")
      ->capture_default_str();
}

}  // namespace megalith::app
