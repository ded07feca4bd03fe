// Text to pieces and to ids on one core, beside the pattern library, and training. The peers take the same
// commands in bench/peers/tokenizer_peers.py.
//   bench_tokenizer [--rounds N] [--json] encode TOKENIZER TEXT_FILE...
//   bench_tokenizer [--rounds N] [--json] runs TOKENIZER
//   bench_tokenizer [--rounds N] [--json] [--threads N] train PATTERN ENTRIES TEXT_FILE...
//   bench_tokenizer ids TOKENIZER OUTPUT TEXT_FILE...           the ids, 32 bits each, to compare
// TOKENIZER is whatever `megalith tokenizer verify` takes.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "core/thread_pool.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/piece_counts.h"
#include "data/tokenizer/piece_splitter.h"
#include "data/tokenizer/token_encoder.h"
#include "harness.h"

namespace megalith {
namespace {

using Arguments = std::vector<std::string>;

std::string text_of(const Arguments& files, std::size_t first) {
  std::string text;
  for (std::size_t i = first; i < files.size(); ++i) {
    text += value_or_throw(read_file(files[i], std::size_t{1} << 30));
  }
  return text;
}

void measure_encoding(const bench::Options& options, const Arguments& arguments) {
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(arguments.at(1)));
  const std::string text = text_of(arguments, 2);
  if (!tokenizer.pattern()) {
    fmt::print(stderr, "bench_tokenizer: {} cuts in stages, not by one of the known patterns\n",
               arguments.at(1));
    std::exit(2);
  }
  const PieceSplitter by_hand(*tokenizer.pattern());
  const PieceSplitter by_library(*tokenizer.pattern(), PieceSplitter::Engine::just_in_time);
  const auto cut = [&](const PieceSplitter& splitter) {
    std::size_t count = 0;
    PieceSplitter::Walk walk(splitter, text);
    for (std::string_view piece; walk.next(piece);) ++count;
    if (count > text.size()) std::abort();  // or the loop would be taken out
  };
  std::vector<std::int32_t> ids;
  TokenEncoder kept(tokenizer);
  const double work = static_cast<double>(text.size()) / 1e6;
  const std::vector<bench::Candidate> candidates{
      {"pieces by PCRE2", work, [&] { cut(by_library); }},
      {"pieces by hand", work, [&] { cut(by_hand); }},
      {"ids, an encoder for each text", work, [&] { ids.clear(), tokenizer.encode(text, ids); }},
      {"ids, an encoder that is kept", work, [&] { ids.clear(), kept.encode(text, ids); }}};
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  bench::Report report(
      options, fmt::format("{:.1f} MB by the pattern {} on one core; the ratio is to pieces by hand", work,
                           name_of(*tokenizer.pattern())));
  const double ceiling = work / timings[1].best_seconds;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    report.add(candidates[i].name, work / timings[i].best_seconds, "MB/s", ceiling,
               timings[i].median_seconds / timings[i].best_seconds);
  }
}

// Pieces of a million bytes: linear when twice the bytes take about twice the time.
void measure_runs(const bench::Options& options, const Arguments& arguments) {
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(arguments.at(1)));
  constexpr std::size_t kMillion = 1000000;
  std::vector<std::int32_t> ids;
  std::vector<std::string> texts;
  std::vector<bench::Candidate> candidates;
  for (const char c : {'^', 'a', ' '}) {
    for (const std::size_t millions : {1, 2}) texts.emplace_back(millions * kMillion, c);
  }
  for (const std::string& text : texts) {
    candidates.push_back({fmt::format("{} million of '{}'", text.size() / kMillion, text[0]),
                          static_cast<double>(text.size()) / 1e6,
                          [&] { ids.clear(), tokenizer.encode(text, ids); }});
  }
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  bench::Report report(options,
                       "One piece of a million bytes and of two; the ratio is to the rate of the one");
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    report.add(candidates[i].name, candidates[i].work / timings[i].best_seconds, "MB/s",
               candidates[i / 2 * 2].work / timings[i / 2 * 2].best_seconds,
               timings[i].median_seconds / timings[i].best_seconds);
  }
}

// The text is mapped, so that gigabytes need no memory of their own.
class MappedTexts final : public TextSource {
 public:
  MappedTexts(const Arguments& files, std::size_t first) : files_(files), at_(first) {}
  bool next(std::string_view& text) override {
    if (at_ == files_.size()) return false;
    file_.emplace(value_or_throw(MappedFile::open(files_[at_++])));
    text = file_->text();
    return true;
  }

 private:
  const Arguments& files_;
  std::size_t at_;
  std::optional<MappedFile> file_;
};

void measure_training(const bench::Options& options, const Arguments& arguments) {
  const std::optional<PiecePattern> pattern = pattern_named(arguments.at(1));
  if (!pattern) throw RefusedInput(Refusals{{"PATTERN", arguments.at(1), pattern_names(), ""}});
  const int entries = std::atoi(arguments.at(2).c_str());
  const int threads = options.threads > 0 ? options.threads : usable_processors();
  BpeTrainingReport facts;
  const auto count = [&] {
    MappedTexts source(arguments, 3);
    count_pieces(source, threads, BpeTrainingOptions().most_distinct_bytes, *pattern);
  };
  const auto train = [&] {
    MappedTexts source(arguments, 3);
    value_or_throw(
        train_bpe(source, {.vocabulary_size = entries, .pattern = *pattern, .num_threads = threads}, &facts));
  };
  double work = 0;
  for (std::size_t i = 3; i < arguments.size(); ++i) {
    work += static_cast<double>(std::filesystem::file_size(arguments[i])) / 1e6;
  }
  const std::vector<bench::Candidate> candidates{
      {fmt::format("counting pieces, {} threads", threads), work, count},
      {fmt::format("training, {} threads", threads), work, train}};
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  bench::Report report(
      options,
      fmt::format("{:.1f} MB, {} entries, {} distinct pieces ({} forgotten); the ratio is to counting alone",
                  work, entries, facts.distinct_pieces, facts.forgotten_pieces));
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    report.add(candidates[i].name, work / timings[i].best_seconds, "MB/s", work / timings[0].best_seconds,
               timings[i].median_seconds / timings[i].best_seconds);
  }
}

void write_ids(const Arguments& arguments) {
  const Tokenizer tokenizer = value_or_throw(Tokenizer::load(arguments.at(1)));
  std::vector<std::int32_t> ids;
  tokenizer.encode(text_of(arguments, 3), ids);
  write_file_atomically(arguments.at(2),
                        {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof ids[0]});
}

int run(const bench::Options& options) {
  const Arguments& arguments = options.rest;
  const std::string what = arguments.empty() ? "" : arguments.front();
  if (what == "encode" && arguments.size() >= 3) {
    measure_encoding(options, arguments);
  } else if (what == "runs" && arguments.size() == 2) {
    measure_runs(options, arguments);
  } else if (what == "train" && arguments.size() >= 4) {
    measure_training(options, arguments);
  } else if (what == "ids" && arguments.size() >= 4) {
    write_ids(arguments);
  } else {
    fmt::print(stderr,
               "encode TOKENIZER TEXT_FILE..., runs TOKENIZER, train PATTERN ENTRIES TEXT_FILE... or ids "
               "TOKENIZER OUTPUT TEXT_FILE...\n");
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  return megalith::run(megalith::bench::parse_options(argc, argv));
}
